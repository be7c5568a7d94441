"""report.html: the results of an evaluation on one page that opens from disk, with wavs to listen to."""

from evc2.evaluate.report.choose import choose_trials
from evc2.evaluate.report.page import write_report

__all__ = ["choose_trials", "write_report"]
