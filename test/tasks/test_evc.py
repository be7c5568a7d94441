"""EVCTask: what a run leaves, what it prints, and what it says to a wrong configuration."""

import json
import multiprocessing
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from espnet2.train.distributed_utils import resolve_distributed_mode

from evc2.bin.evc_train import main
from evc2.bin.show_model import main as show_model
from evc2.errors import UserError
from evc2.systems import build
from evc2.tasks.evc import EVCTask, choose_domains
from evc2.train.schedulers import ConstantThenLinear, ConstantThenLinearEpoch


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("exp")
    options = {"config": "conf.yaml", "feats_contract": "feats.yaml", "stats": "stats.npz"}
    options |= {"train_dir": "train", "valid_dir": "dev", "valid_trials": "dev/trials"}
    cmd = [x for k, v in options.items() for x in (f"--{k}", str(corpus / v))]
    main([*cmd, "--output_dir", str(out), "--use_tensorboard", "true", "--media_interval", "1"])
    return out


def test_leaves_models_links_config_and_summary(trained):
    best = trained / "valid.mcd.best.pth"
    assert best.is_symlink()
    weights = torch.load(best, weights_only=True)
    config = yaml.safe_load((trained / "config.yaml").read_text())
    build(config["system"], config["system_conf"]).load_state_dict(weights)
    assert config["labels"] == {"speakers": ["s1", "s2"], "emotions": ["angry", "neutral"]}
    assert config["feats_contract"]["order"] == 24
    summary = json.loads((trained / "train_summary.json").read_text())
    assert summary["steps"] == 12 and summary["best"]["valid.mcd"]["value"] > 0
    assert list((trained / "tensorboard/valid").iterdir())
    state = torch.load(trained / "checkpoint.pth", weights_only=True)
    values = [phases["valid"]["mcd"] for phases in state["reporter"]["stats"].values()]
    assert summary["best"]["valid.mcd"]["value"] == pytest.approx(min(values))


def test_models_hold_the_averaged_generators(trained):
    state = torch.load(trained / "checkpoint.pth", weights_only=True)
    last = torch.load(trained / "3epoch.pth", weights_only=True)
    name = "G_AB.out.weight"
    assert torch.equal(last[name], state["ema"]["shadow"][name])
    assert not torch.equal(last[name], state["model"][name])
    assert torch.equal(last["D_A.patch.weight"], state["model"]["D_A.patch.weight"])  # not averaged


def test_learning_rate_by_turn(trained):
    state = torch.load(trained / "checkpoint.pth", weights_only=True)
    generator, discriminator = (o["param_groups"][0] for o in state["optimizers"])
    assert generator["lr"] == pytest.approx(1e-3 * (1 - 8 / 10))  # 12 steps: 4 constant, 8 of 10 down
    assert discriminator["lr"] == 1e-3


@pytest.mark.parametrize("kind", [ConstantThenLinear, ConstantThenLinearEpoch])
def test_constant_then_linear(kind):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = kind(optimizer, constant=2, decay=4)
    seen = []
    for _ in range(8):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert seen == pytest.approx([2, 2, 2, 1.5, 1, 0.5, 0, 0])


def test_dry_run_and_print_config(command, tmp_path):
    main(command(tmp_path, "--dry_run", "true"))
    assert (tmp_path / "config.yaml").exists() and not (tmp_path / "checkpoint.pth").exists()
    run = [sys.executable, "-m", "evc2.bin.evc_train", "--print_config"]
    printed = yaml.safe_load(subprocess.run(run, capture_output=True, check=True, text=True).stdout)
    assert printed["system"] == "cyclegan" and printed["crop_frames"] == 128


def test_init_param_and_averages(command, trained, tmp_path):
    start = str(trained / "3epoch.pth")
    main(command(tmp_path, "--init_param", start, "--max_epoch", "2", "--keep_nbest_models", "2"))
    paths = [tmp_path / f"{e}epoch.pth" for e in (1, 2)]
    mean = torch.load(tmp_path / "valid.mcd.ave_2best.pth", weights_only=True)
    parts = [torch.load(p, weights_only=True) for p in paths]
    for name, value in mean.items():
        torch.testing.assert_close(value, (parts[0][name] + parts[1][name]) / 2)
    first = torch.load(tmp_path / "1epoch.pth", weights_only=True)["G_AB.out.weight"]
    assert (first - torch.load(start, weights_only=True)["G_AB.out.weight"]).abs().max() < 0.05


def change(corpus, tmp_path, edit) -> str:
    config = yaml.safe_load((corpus / "conf.yaml").read_text())
    edit(config)
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c["system_conf"].update(lambda_cycel=3), "did you mean lambda_cycle"),
        (lambda c: c["optims"].update(generatr={}), "did you mean generator"),
        (lambda c: c["optims"]["generator"].update(learning_rate=1), "optims.generator: there is no key"),
        (lambda c: c["optims"]["generator"].update(optim="adan"), "did you mean adam"),
        (lambda c: c["schedulers"]["generator"].update(scheduler="constantlinear"), "did you mean constantthenlinear"),
        (lambda c: c["schedulers"]["generator"].update(constnat=1), "did you mean constant"),
        (lambda c: c["system_conf"].update(domains=["neutral", "sad"]), "no utterance of the domain 'sad'"),
        (lambda c: c.update(optim_conf={"lr": 1}), "use optims"),
    ],
)
def test_wrong_configuration(corpus, command, tmp_path, edit, message):
    with pytest.raises(UserError, match=message):
        main([*command(tmp_path / "exp"), "--config", change(corpus, tmp_path, edit)])


def test_unknown_key_of_the_config_is_named(corpus, command, tmp_path, capsys):
    path = change(corpus, tmp_path, lambda c: c.update(max_epohc=3))
    with pytest.raises(SystemExit):
        main([*command(tmp_path / "exp"), "--config", path])
    assert "did you mean max_epoch" in capsys.readouterr().err


def test_other_contract_is_refused(corpus, command, tmp_path):
    shutil.copy(corpus / "feats.yaml", tmp_path / "feats.yaml")
    path = tmp_path / "feats.yaml"
    path.write_text(path.read_text().replace("f0_ceil: 800.0", "f0_ceil: 600.0"))
    with pytest.raises(UserError, match="f0_ceil"):
        main([*command(tmp_path / "exp"), "--feats_contract", str(path)])


def test_loss_that_is_not_finite_stops_with_the_last_checkpoint_kept(command, tmp_path):
    with pytest.raises(UserError, match="not finite"):
        main(command(tmp_path, "--optims", "generator={optim: sgd, lr: 1e30}"))


def test_domains_follow_the_directions():
    assert choose_domains(["neutral", "angry"], "neutral:happy,happy:neutral", 2) == ["neutral", "happy"]
    assert choose_domains(["angry", "neutral"], "neutral:angry", 2) == [
        "angry",
        "neutral",
    ]  # A and B stay what they are
    assert choose_domains(["neutral", "angry"], "neutral:happy,neutral:sad", 2) == ["neutral", "angry"]
    assert choose_domains(["neutral", "angry"], "neutral:happy,neutral:sad", 12) == ["neutral", "happy", "sad"]


def test_trials_of_other_emotions_are_refused_before_training(corpus, command, tmp_path):
    folder = tmp_path / "dev"
    shutil.copytree(corpus / "dev", folder)
    trials = (folder / "trials").read_text()
    (folder / "trials").write_text(trials.replace(" angry ", " happy "))
    cmd = command(tmp_path / "exp", "--valid_dir", str(folder), "--valid_trials", str(folder / "trials"))
    with pytest.raises(UserError, match="conversions of neutral to happy"):
        main(cmd)


def test_show_model(tmp_path, capsys):
    path = tmp_path / "conf.yaml"
    path.write_text("system: cyclegan\nsystem_conf: {power: network}\n")
    show_model(["--config", str(path)])
    rows = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows == {
        "G_AB": "38,055,704",
        "G_BA": "38,055,704",
        "D_A": "21,837,825",
        "D_B": "21,837,825",
        "total": "119,787,058",
    }


def test_a_process_of_its_own_ends_with_one_sentence(command, tmp_path, capfd):
    """Trainings with several GPUs run in processes that espnet2 starts."""
    args = EVCTask.get_parser().parse_args(command(tmp_path / "exp"))
    EVCTask.prepare(args)
    resolve_distributed_mode(args)
    args.valid_trials = str(tmp_path / "none")
    process = multiprocessing.get_context("spawn").Process(target=EVCTask.main_worker, args=(args,))
    process.start()
    process.join(200)
    said = capfd.readouterr().err
    assert process.exitcode == 1 and "error: " in said and "none: no such file" in said and "Traceback" not in said
