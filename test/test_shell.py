"""The shell side: every script parses, shellcheck has nothing to say, and the pipeline explains itself."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "egs" / "TEMPLATE" / "evc1"
MADE = {"venv", "data", "dump", "exp", "downloads"}


def scripts() -> list[Path]:
    found = [ROOT / ".ci" / "run"]
    for top in ("egs", "tools", "utils", "test"):
        for folder, folders, names in os.walk(ROOT / top):
            folders[:] = sorted(set(folders) - MADE)
            paths = [Path(folder, name) for name in sorted(names) if name.endswith(".sh")]
            found += [path for path in paths if not path.is_symlink()]
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_scripts_are_found():
    assert {"egs/TEMPLATE/evc1/evc.sh", "tools/setup.sh", "utils/parse_options.sh"} <= set(map(name_of, scripts()))


@pytest.mark.parametrize("path", scripts(), ids=name_of)
def test_bash_reads_it(path):
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_shellcheck():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed (tools/setup.sh --extras dev)")
    done = subprocess.run(["shellcheck", "-x", *map(name_of, scripts())], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["./evc.sh", *words], cwd=folder, capture_output=True, text=True, timeout=60)


def test_help_lists_every_option_with_its_default():
    done = run(ROOT / "egs" / "toy" / "evc1", "--help")
    assert done.returncode == 0, done.stderr
    block = (TEMPLATE / "evc.sh").read_text().split("help_message=")[0]
    names = [line.split("=")[0] for line in block.splitlines() if "=" in line and line[0].islower()]
    assert len(names) > 30
    for name in names:
        entry = next((line for line in done.stdout.splitlines() if line.startswith(f"  --{name} ")), "")
        assert "(default: " in entry and len(entry.split("(default")[0].split()) > 1, f"--{name} is not explained"


def test_the_template_is_short():
    assert len((TEMPLATE / "evc.sh").read_text().splitlines()) <= 300


@pytest.fixture
def recipe(tmp_path):
    """recipe(STAGE, *WORDS) -> the words of each call of local/data.sh or a command that a stage of stand-ins makes."""
    folder = tmp_path / "egs" / "x" / "evc1"
    (folder / "local").mkdir(parents=True)
    for name in ("evc.sh", "path.sh", "cmd.sh", "conf"):
        (folder / name).symlink_to(TEMPLATE / name)
    for name in ("utils", "evc2", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    (folder / "utils").symlink_to(ROOT / "utils")
    calls = folder / "calls"
    record = f'printf "%s\\n" "$(printf "<%s>" "$@")" >> {calls}\nexit 9\n'
    (folder / "local/data.sh").write_text(f"#!/bin/bash\n{record}")
    answers = "*needs_of*) echo conf/feats_world.yaml none ;; *show_contract*) echo world ;; *stage_done*check*) exit 1"
    spared = f'case "$*" in {answers} ;; *) {record} ;; esac'
    (folder / "python").write_text(f"#!/bin/bash\n{spared}")
    for path in (folder / "local/data.sh", folder / "python"):
        path.chmod(0o755)
    for name in ("train", "dev", "test"):  # what stages 2 and 5 need of earlier ones
        for data in (folder / "data/speaker_dependent" / name, folder / f"dump/world/speaker_dependent_{name}"):
            data.mkdir(parents=True)
            for file in ("wav.scp", "utt2spk", ".stage3"):
                (data / file).write_text("a-1 x\n")
    (folder / "dump/world/speaker_dependent_stats").mkdir()
    (folder / "dump/world/speaker_dependent_stats/stats.npz").write_text("")

    def call(stage, *words):
        calls.unlink(missing_ok=True)
        words = ["--stage", stage, "--stop_stage", stage, "--python", str(folder / "python"), "--nj", "1", *words]
        done = subprocess.run(["./evc.sh", *words], cwd=folder, capture_output=True, text=True, timeout=60)
        assert calls.exists(), done.stderr
        return [line[1:-1].split("><") for line in calls.read_text().splitlines()]

    return call


def value(words, name):
    return words[words.index(name) + 1] if name in words else None


def test_what_a_conversion_changes_is_said_where_it_is_not_the_default(recipe):
    for words, at_data, at_training in (
        ([], None, None),
        (["--domain_by", "emotion"], None, None),
        (["--domain_by", "speaker"], "speaker", "speaker"),
        (["--domain_by", "folder"], "folder", "speaker"),
    ):
        (data,) = recipe("1", *words)
        assert value(data, "--domain_by") == at_data and "--speakers" not in data
        (training,) = recipe("5", *words, "--directions", "")
        assert value(training, "--domain_by") == at_training and value(training, "--directions") == ""
    (data,) = recipe("1", "--speakers", "4 7", "--directions", "")
    assert value(data, "--speakers") == "4 7" and value(data, "--directions") == ""
    # What the user adds for training comes last, and so wins.
    (training,) = recipe("5", "--domain_by", "speaker", "--train_args", "--domain_by speaker_emotion")
    assert training.index("speaker") < training.index("speaker_emotion")


def test_textgrids_cut_the_audio_and_learned_durations_do_not(recipe):
    for words in ([], ["--align", "learned"], ["--align", "phones"]):
        assert "--textgrids" not in recipe("2", *words)[0]
    words = recipe("2", "--align", "grids")[0]
    assert words[words.index("--textgrids") + 1] == "grids"


def text_features(align, **more):
    """Source utils/text_features.sh with stand-ins; return the lines of what it does, then its two arrays."""
    given = {"align": align, "dump": "d", "spembs": "none", "strength": "false", "g2p": "espeak", "lexicon": ""}
    given |= {"python": "python", **more}
    settings = "".join(f"{name}={value!r}\n" for name, value in given.items())
    text = f"""set -euo pipefail
{settings}train_cmd=run.pl cuda_cmd=run.pl align_config=a.yaml ngpu=0 sets=(train dev)
todo() {{ echo "todo $*"; }}; job() {{ echo "job $*"; }}; finished() {{ echo "finished $*"; }}; tail() {{ :; }}
. utils/text_features.sh
[ "$align" = none ] || text_features
echo "inputs ${{text_inputs[*]}}"; echo "grids ${{grids[*]}}"
"""
    done = subprocess.run(["bash", "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_systems_need_of_the_text_is_made_and_no_more():
    *steps, inputs, grids = text_features("phones")
    assert inputs == "inputs --inputs d_train/phones d_dev/phones" and grids == "grids "
    assert len(steps) == 6 and not any("align" in step or "--textgrids" in step for step in steps)
    assert "evc2.bin.phonemize --data_dir d_train" in steps[1]
    *steps, inputs, grids = text_features("learned", spembs="resemblyzer", spembs_weights="")
    assert inputs == "inputs --scp d_train/durations.scp d_dev/durations.scp --scp d_train/spk2spembs.scp"
    assert sum("evc2.bin.align" in step for step in steps) == 3 and grids == "grids "
    *steps, inputs, grids = text_features("folder")
    assert inputs == "inputs --scp d_train/durations.scp d_dev/durations.scp" and grids == "grids --tree folder"
    assert not any("evc2.bin.align" in step for step in steps) and "--textgrids folder" in steps[1]
    assert text_features("none") == ["inputs ", "grids "]


def test_level_and_pauses_reach_stage_2(recipe):
    plain = recipe("2")[0]
    assert plain[:2] == ["-m", "evc2.bin.format_wav"] and "--vad" not in plain and "--loudness" not in plain
    words = recipe("2", "--vad", "energy", "--loudness", "-30")[0]
    assert value(words, "--vad") == "energy" and value(words, "--loudness") == "-30"


def test_wrong_calls_get_one_clear_message(tmp_path):
    for name in ("evc.sh", "path.sh", "cmd.sh"):
        (tmp_path / name).symlink_to(TEMPLATE / name)
    (tmp_path / "utils").symlink_to(ROOT / "utils")
    toy = ROOT / "egs" / "toy" / "evc1"
    cases = [
        (tmp_path, [], "expected local/data.sh"),
        (toy, ["--stge", "4"], "did you mean --stage?"),
        (toy, ["--stage", "x"], "--stage: expected a number"),
        (toy, ["--domain_by", "speekr"], "--domain_by: expected emotion, speaker or folder, found 'speekr'"),
        (toy, ["--force", "1"], "expected true or false"),
        (toy, ["--feats_conf", "conf/none.yaml"], "cannot read conf/none.yaml; found conf/feats_"),
        (toy, ["--num_nodes", "2"], "needs cmd_backend=slurm"),
        (toy, ["--stage", "4", "--stop_stage", "4", "--dumpdir", str(tmp_path)], "which stage 3 makes"),
    ]
    for folder, words, message in cases:
        done = run(folder, *words)
        assert done.returncode == 1, words
        assert message in done.stderr and "Traceback" not in done.stderr, (words, done.stderr)
