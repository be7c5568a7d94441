"""What the SVM judge says of itself: lines for the screen, and RESULTS.md."""

from __future__ import annotations

from evc2.evaluate.judge_accuracy import STRONG, accuracy_table, confusion_tables, percent
from evc2.evaluate.judge_svm import SVMJudge
from evc2.evaluate.svm_training import INNER
from evc2.evaluate.table import markdown_table


def accuracy_lines(judge: SVMJudge) -> list[str]:
    """A line a kind of speech."""
    trained = " + ".join(judge.about.get("trained_on", ["?"]))
    lines = [f"trained on {trained}; {len(judge.labels)} emotions; % recognised of unseen speakers [95 % interval]"]
    for kind, found in judge.accuracy.items():
        strong = f"; strong {', '.join(_strong(judge))}: {percent(found['strong'])}" if "strong" in found else ""
        lines.append(f"{kind}: {percent(found['all'])} of {found['all']['utterances']} utterances{strong}")
    return lines


def _strong(judge: SVMJudge) -> list[str]:
    return [label for label in STRONG if label in judge.labels]


def markdown(judge: SVMJudge) -> str:
    """RESULTS.md: accuracies with intervals, what was chosen, and a confusion matrix for each kind of speech."""
    about = judge.about
    facts = {
        "judge": f"{about['features']}; linear SVM, {len(judge.labels)} labels, one against the rest",
        "trained on": ", ".join(about["trained_on"]),
        "data": about["data"],
        "commit": about["commit"],
        "date": about["date"],
        "command": f"`{about['command']}`",
        "versions": ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
    }
    parts = [
        "# Emotion judge: its own accuracy",
        "\n".join(f"- {name}: {text}" for name, text in facts.items()),
        accuracy_table(judge.accuracy),
        "Percent of utterances recognised among all labels, by the machine that has not heard the speaker: mean over "
        "speakers, and its 95 % interval (BCa bootstrap over speakers). `strong`: "
        f"{', '.join(_strong(judge))} at strong intensity. Nothing was chosen on test speakers: the regularisation C "
        f"of each fold is that with the highest accuracy on {INNER} parts of its training speakers, held out in turn.",
        markdown_table(
            ["machine without fold", "C", "accuracy on held-out training speakers (%)"],
            [[fold, f"{c['c']:g}", f"{100 * c['inner_accuracy']:.1f}"] for fold, c in about["chosen"].items()],
        ),
    ]
    parts += confusion_tables(judge.accuracy, judge.labels)
    if about["left_out"]:
        lines = "\n".join(f"- {utt}: {why}" for utt, why in about["left_out"].items())
        parts.append(f"Recordings left out:\n\n{lines}")
    return "\n\n".join(parts) + "\n"
