import pytest

from evc2.errors import UserError
from evc2.evaluate import registry
from evc2.evaluate.registry import get_metric, register
from evc2.evaluate.settings import Settings, settings, use


@pytest.fixture
def clean(monkeypatch):
    registry.all_metrics()
    monkeypatch.setattr(registry, "_METRICS", dict(registry._METRICS))


@pytest.fixture
def offline():
    """Metrics that want a model must not look for it on the network."""
    before = settings()
    use(Settings(asr_model="no-such-folder/no-such-model", download=False))
    yield
    use(before)


def test_all_and_in_the_order_asked_for():
    names = [metric.name for metric in get_metric()]
    assert names[:4] == ["mcd", "mcd_nodtw", "gv", "mcd_gv"]
    groups = [metric.group for metric in get_metric()]
    assert list(dict.fromkeys(groups)) == [
        "spectrum", "prosody", "emotion", "content", "speaker", "naturalness",
    ]  # fmt: skip
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index)  # each group in one piece
    wanted = ("fd_mel", "energy_corr", "rate", "cer", "wer", "spk_sim", "emo_acc_neural", "emo_acc_svm", "dnsmos_ovrl")
    assert set(wanted) <= set(names)
    assert [metric.name for metric in get_metric(["vuv", "mcd"])] == ["vuv", "mcd"]


def test_patterns_leave_metrics_out():
    names = [metric.name for metric in get_metric(without=["mcd*", "vuv"])]
    assert "gv" in names and not {"mcd", "mcd_gv", "vuv"} & set(names)
    with pytest.raises(UserError, match="no metric fits 'mdc'.*did you mean mcd"):
        get_metric(without=["mdc"])


def test_every_metric_is_described(offline):
    for metric in get_metric():
        assert metric.doc and metric.source and metric.range and metric.needs[0] == "wav"
        assert metric.better in ("lower", "higher", None)
        missing = metric.missing()
        assert missing is None or (missing and "\n" not in missing)
        if metric.group in ("spectrum", "prosody") and metric.name != "fd_spk":
            assert missing is None  # these work anywhere


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
