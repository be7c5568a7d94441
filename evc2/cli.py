"""What all commands share: an option parser that also reads YAML, error reporting and logging. Needs no torch."""

import argparse
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import configargparse

from evc2.errors import UserError, nearest

__all__ = ["ArgumentParser", "nearest", "parse_bool", "program_name", "run", "setup_logging"]

# Failures of the machine that the user can mend, so they get a sentence instead of a traceback.
_MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)


def parse_bool(value: str | bool) -> bool:
    """Read `true` or `false`; any other word is an argparse.ArgumentTypeError. Use as `type=parse_bool`."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower()
    if word in ("true", "false"):
        return word == "true"
    raise argparse.ArgumentTypeError(f"expected true or false, found '{value}'")


def program_name() -> str:
    """Return the name the user called: "evc2 convert" from the console script, "convert" from `python -m`."""
    name = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "evc2"
    return name.removesuffix(".py")


class _HelpFormatter(argparse.HelpFormatter):
    """Adds the default to each option's help, also to those whose author wrote no help."""

    def _expand_help(self, action: argparse.Action) -> str:
        text = super()._expand_help(action)
        shown = action.option_strings and not action.required and action.default not in (None, argparse.SUPPRESS)
        if not shown or "(default" in text:
            return text
        default = action.default
        if isinstance(default, bool):
            default = str(default).lower()
        return f"{text} (default: {default})"

    def _format_action(self, action: argparse.Action) -> str:
        if action.help is None and action.default is not None:
            action.help = "%(dest)s"  # argparse would print no default for an option without help
        return super()._format_action(action)


class ArgumentParser(configargparse.ArgumentParser):
    """Option parser of the commands: command line first, then the YAML file of `--config`, then defaults.

    Args:
        config: whether the parser has `--config FILE` (a command that gives `--config` another meaning says False).
        kwargs: as for argparse.ArgumentParser.

    An unknown option or key ends the program with status 2 and names the nearest valid one. `--foo-bar` is read as
    `--foo_bar`. Only keys of options are taken from the file, never positional arguments.
    """

    def __init__(self, *args: Any, config: bool = True, **kwargs: Any) -> None:
        kwargs.setdefault("prog", program_name())
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", _HelpFormatter)
        kwargs.update(add_config_file_help=False, add_env_var_help=False)
        super().__init__(*args, **kwargs)
        self._reads_config = config
        if config:
            self.add_argument("--config", metavar="FILE", help="YAML file with values for the options below")

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with status 2."""
        self.exit(2, f"{self.prog}: error: {message}\nSee '{self.prog} --help'.\n")

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None, **kwargs: Any) -> Any:
        """Parse all of `args` (default: sys.argv[1:]); leave with status 2 on the first option that does not exist."""
        result, unknown = self.parse_known_args(args, namespace, **kwargs)
        if unknown:
            name = next((word for word in unknown if word.startswith("-")), unknown[0]).split("=")[0]
            kind = "option" if name.startswith("-") else "argument"
            self.error(f"unknown {kind} {name}{nearest(name, self._all_options())}")
        return result

    def parse_known_args(self, args: Any = None, namespace: Any = None, **kwargs: Any) -> tuple[Any, list[str]]:
        """As argparse's, with the values of `--config` taken as defaults first."""
        words = [self._with_underscores(word) for word in (sys.argv[1:] if args is None else args)]
        path = self._config_path(words) if self._reads_config else None
        if path is None:
            return super().parse_known_args(words, namespace, **kwargs)
        values = self._config_values(path)
        # A value from the file replaces the default for this call only: a parser may be used twice.
        saved = [(action, action.default, action.required) for action in self._actions]
        try:
            for action in self._actions:
                if action.dest in values:
                    action.default, action.required = values[action.dest], False
            return super().parse_known_args(words, namespace, **kwargs)
        finally:
            for action, default, required in saved:
                action.default, action.required = default, required

    def _all_options(self) -> list[str]:
        names = list(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    names += parser._all_options()
        return names

    def _with_underscores(self, word: str) -> str:
        name, equals, value = word.partition("=")
        other = "--" + name[2:].replace("-", "_")
        if name.startswith("--") and name not in self._option_string_actions and other in self._option_string_actions:
            return other + equals + value
        return word

    def _config_path(self, words: list[str]) -> str | None:
        path = None
        for i, word in enumerate(words):
            if word == "--":
                break
            if word.startswith("--config="):
                path = word.partition("=")[2]
            elif word == "--config" and i + 1 < len(words):
                path = words[i + 1]
        return path

    def _config_values(self, path: str) -> dict[str, Any]:
        import yaml

        try:
            with open(path, encoding="utf-8") as stream:
                content = yaml.safe_load(stream)
        except OSError as error:
            self.error(f"--config: cannot read {path}: {error.strerror}")
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            self.error(f"--config: {path} is not valid YAML: {' '.join(str(error).split())}")
        if content is None:
            return {}
        if not isinstance(content, dict):
            self.error(f"--config: {path}: expected `key: value` lines, found a {type(content).__name__}")
        options = {action.dest: action for action in self._actions if action.option_strings}
        for reserved in ("help", "config", "version"):
            options.pop(reserved, None)
        values = {}
        for key, value in content.items():
            name = str(key).replace("-", "_")
            if name not in options:
                self.error(f"{path}: unknown key '{key}'{nearest(name, options)}")
            values[name] = self._checked(options[name], value, f"{path}: {key}")
        return values

    def _checked(self, action: argparse.Action, value: Any, where: str) -> Any:
        """Bring a YAML value to what the command line would have given, with the same checks."""
        many = action.nargs in ("*", "+") or isinstance(action.nargs, int) and action.nargs > 0
        many = many or isinstance(action, argparse._AppendAction)
        if value is None:
            return None
        if action.nargs == 0:  # store_true and the like
            if not isinstance(value, bool):
                self.error(f"{where}: expected true or false, found '{value}'")
            return value
        if many != isinstance(value, list):
            self.error(f"{where}: expected {'a list' if many else 'one value'}, found '{value}'")
        if many:
            return [self._one(action, item, where) for item in value]
        return self._one(action, value, where)

    def _one(self, action: argparse.Action, value: Any, where: str) -> Any:
        if isinstance(value, bool):
            value = str(value).lower()
        try:
            result = self._get_value(action, str(value))
            if action.choices is not None and result not in action.choices:
                known = [str(choice) for choice in action.choices]
                self.error(f"{where}: '{value}' is not one of {', '.join(known)}{nearest(str(value), known)}")
        except argparse.ArgumentError as error:
            self.error(f"{where}: {error.message}")
        return result


def setup_logging(verbose: int = 1) -> None:
    """Log to stderr: warnings only (0), progress (1), all (2)."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG if verbose > 1 else logging.WARNING)
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)s %(module)s: %(message)s", datefmt="%H:%M:%S", force=True
    )
    # These two report every font they look at and every file they compile once the level is low.
    for noisy in ("matplotlib", "numba"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _terminated(signum: int, frame: object) -> NoReturn:
    raise SystemExit(128 + signum)


def run(main: Callable[[], None], name: str | None = None) -> None:
    """Call `main()`; turn what the user can mend into `NAME: error: ...` on stderr and exit status 1.

    SIGTERM (a cluster's or run.pl's way to stop a job) unwinds the stack, so that unfinished files are removed.
    """
    name = name or program_name()
    try:
        signal.signal(signal.SIGTERM, _terminated)
    except ValueError:
        pass  # not in the main thread: signals belong to the caller
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        _fail(name, str(error))
    except KeyboardInterrupt:
        _fail(name, "interrupted")
    except BrokenPipeError:
        # The reader of our output went away (`... | head`). Point stdout elsewhere so that exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in _MACHINE_ERRORS:
            raise
        file = error.filename2 or error.filename
        _fail(name, f"{error.strerror}: {Path(os.fsdecode(file))}" if file else str(error.strerror))


def _fail(name: str, message: str) -> NoReturn:
    print(f"{name}: error: {message}", file=sys.stderr)
    sys.exit(1)


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add --job, --njobs and --merge, by which a command's work is split into jobs and joined again."""
    parser.add_argument("--job", type=int, help="do only this part (1 to --njobs), without joining")
    parser.add_argument("--njobs", type=int, default=1, help="number of parts")
    parser.add_argument("--merge", type=parse_bool, default=False, help="only join the parts, after all jobs")


def check_job_options(args: argparse.Namespace) -> None:
    """UserError for options of add_job_options that do not go together."""
    if args.merge and args.job is not None:
        raise UserError("--merge true comes after all jobs: leave out --job")
    if args.job is None and not args.merge and args.njobs != 1:
        raise UserError(f"--njobs {args.njobs} needs --job (1 to {args.njobs}) or --merge true")


def add_vocoder_options(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add --vocoder and --vocoder_conf, by which a command is told what makes its sound."""
    parser.add_argument(
        "--vocoder",
        default=default,
        metavar="NAME|PATH",
        help="world, griffin_lim, hifigan_universal, hifigan_ljspeech, a folder of voc_train, or a checkpoint",
    )
    parser.add_argument(
        "--vocoder_conf",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of that vocoder, e.g. n_iter=32 or compile=true; repeatable",
    )


def vocoder_conf(args: argparse.Namespace) -> dict[str, Any]:
    """The options of --vocoder_conf by name, read as YAML values; UserError where they are given without --vocoder."""
    import yaml

    if args.vocoder is None and args.vocoder_conf:
        raise UserError("--vocoder_conf goes with --vocoder")
    conf = {}
    for word in args.vocoder_conf:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise UserError(f"--vocoder_conf: expected KEY=VALUE, found '{word}'")
        try:
            conf[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"--vocoder_conf: '{word}': the value is no YAML") from None
    return conf
