import pytest

from evc2.errors import UserError
from evc2.evaluate import registry
from evc2.evaluate.registry import get_metric, register


@pytest.fixture
def clean(monkeypatch):
    registry.all_metrics()
    monkeypatch.setattr(registry, "_METRICS", dict(registry._METRICS))


def test_all_and_in_the_order_asked_for():
    names = [metric.name for metric in get_metric()]
    assert names == ["mcd", "mcd_nodtw", "gv", "mcd_gv", "lf0_rmse", "lf0_corr", "vuv", "ddur", "distance_to_source"]
    assert [metric.name for metric in get_metric(["vuv", "mcd"])] == ["vuv", "mcd"]


def test_every_metric_is_described():
    for metric in get_metric():
        assert metric.doc and metric.source and metric.range and metric.needs[0] == "wav"
        assert metric.better in ("lower", "higher", None) and metric.missing() is None


@pytest.mark.parametrize(
    ("names", "message"), [(["mdc"], "did you mean mcd"), (["mcd", "mcd"], "twice"), ([], "no metric is named")]
)
def test_wrong_names(names, message):
    with pytest.raises(UserError, match=message):
        get_metric(names)


def test_a_new_metric(clean):
    words = {"unit": "", "better": "higher", "needs": ("wav",), "digits": 1, "doc": "d", "source": "s", "range": "0 .."}

    @register("length", **words, available=lambda: "length wants a ruler: pip install ruler")
    def _length(item):
        return 1.0

    metric = get_metric(["length"])[0]
    assert metric.function is _length and metric.title == "length" and "ruler" in metric.missing()
    with pytest.raises(ValueError, match="needs? .*unknown|unknown need"):
        register("other", **{**words, "needs": ("wave",)})
    with pytest.raises(ValueError, match="better"):
        register("other", **{**words, "better": "more"})
    foreign = type(lambda: 0)((lambda item: 0.0).__code__, {"__name__": "elsewhere"})
    with pytest.raises(ValueError, match="registered twice"):
        register("length", **words)(foreign)
