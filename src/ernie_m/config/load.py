"""Reading and validating a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from ernie_m.bounded import MOST_YAML, check_bounds, parse_yaml, read_text
from ernie_m.config.base import deep_merge
from ernie_m.config.problems import check
from ernie_m.config.root import Config, Variant
from ernie_m.errors import UserError

BASE = Path("config/config.yaml")


def load(mapping: Mapping[str, Any]) -> Config:
    """The whole configuration from nested dictionaries, as parsed by Snakemake or YAML.

    Raises :class:`UserError` that lists every problem, each with its full key path.
    """
    try:
        check_bounds(mapping, MOST_YAML)
    except ValueError as error:
        raise _refusal([f"As a whole, {error}."]) from None
    plain = _plain(mapping)
    config, problems = check(Config, plain)
    main = plain if config is None else config.model_dump(mode="json")
    sentences = [*problems.values(), *_variant_problems(main, plain.get("variants"))]
    if config is not None:
        sentences += _unread_registries(config)
    if sentences or config is None:
        raise _refusal(sentences)
    return config


def read(*overlays: Path | str, base: Path | str = BASE) -> Config:
    """The configuration in ``base`` with the files of ``overlays`` laid over it, in order.

    Raises :class:`UserError` for a file that cannot be read and for everything :func:`load` does.
    """
    merged: dict[str, Any] = {}
    for path in (base, *overlays):
        merged = deep_merge(merged, read_yaml(Path(path)))
    return load(merged)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, ``{}`` for an empty one; raises :class:`UserError`."""
    try:
        content = parse_yaml(read_text(path))
    except FileNotFoundError:
        raise UserError(
            f"Configuration file {path} does not exist.",
            "Correct its name, or run the command from the top folder of the repository.",
        ) from None
    except ValueError as error:
        raise UserError(
            f"{path} is not valid YAML: {error}.",
            "Correct the line; values with `: ` or ` #` inside need quotes.",
        ) from None
    if not isinstance(content, dict | None):
        raise UserError(
            f"{path} does not hold keys with values.",
            f"Write it as {BASE} is written: one `key: value` a line.",
        )
    return content or {}


def _plain(value: Any) -> Any:
    """The same value in JSON types only, so that validation sees one form."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)  # a date or a path


def _variant_problems(main: dict[str, Any], variants: Any) -> list[str]:
    """A variant is validated as what it means: the main variant with its keys overriding."""
    main = {key: main[key] for key in Variant.model_fields if key in main}
    _, known = check(Variant, main)
    sentences = []
    for name, override in variants.items() if isinstance(variants, dict) else ():
        if isinstance(override, dict):
            own = {key: override[key] for key in Variant.model_fields if key in override}
            _, problems = check(Variant, deep_merge(main, own), ("variants", name))
            sentences += [text for path, text in problems.items() if path[2:] not in known]
    return sentences


def _unread_registries(config: Config) -> Iterator[str]:
    """Validators read a registry only if it exists; here the registries that a run needs must."""
    needs: dict[str, Callable[[], object]] = {
        "corpora.registry": config.corpora.rows,
        "xtreme.registry": config.xtreme.sources,
    }
    if config.compares:
        needs["claims.registry"] = config.claims.rows
    other = config.init_digest or "/" in config.init or Path(config.init).is_dir()
    if config.init and not (config.checkpoint or other):
        needs["init"] = partial(_named, config)
    for key, look in needs.items():
        try:
            look()
        except ValueError as error:
            yield f"`{key}`: {error}" + ("" if str(error).endswith("?") else ".")


def _named(config: Config) -> None:
    """Raise ``ValueError`` for a name that no row of the registry of checkpoints has."""
    rows = config.checkpoints.rows()
    near = get_close_matches(config.init, rows, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"the rows are {', '.join(rows)}"
    where = f"a row of {config.checkpoints.registry} nor a folder nor `sha256:` with 8 to 64 digits"
    raise ValueError(f"`{config.init}` is neither {where}; {hint}")


def _refusal(sentences: list[str]) -> UserError:
    if len(sentences) == 1:
        what = f"The configuration cannot be used. {sentences[0]}"
    else:
        lines = "\n".join(f"  - {sentence}" for sentence in sentences)
        what = f"The configuration cannot be used for {len(sentences)} reasons:\n{lines}"
    return UserError(what, "Correct it where you set it; docs/configuration.md explains every key.")
