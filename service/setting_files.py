"""Settings given as files, for secrets: NAME_FILE names the file that holds the value of the variable NAME."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource

_SUFFIX = "_FILE"
_OTHERS = (
    "ACTIONLENS_ADDRESS",
    "ACTIONLENS_CA",
    "ACTIONLENS_CLIENT_CERT",
    "ACTIONLENS_CLIENT_KEY",
    "ACTIONLENS_CLIENT_TLS",
    "ACTIONLENS_DEBUG",
    "ACTIONLENS_HEARTBEATS",
    "ACTIONLENS_JOBS_DB",
    "ACTIONLENS_JOBS_DB_FILE",
    "ACTIONLENS_MAX_REPLY_BYTES",
    "ACTIONLENS_REQUIRE_SYSTEM",
    "ACTIONLENS_TOKEN",
    "ACTIONLENS_TOKEN_FILE",
)
"""Variables of clients, of children and of tests, which are no settings of a service."""
_KINDS = ("WORKER_", "TEST_")
"""What such names begin with, behind the prefix."""
_MOST_BYTES = 2**20
"""A file that is longer holds no setting."""


class SettingFileError(ValueError):
    """A variable and its file are both given, or the file cannot be read; the message names them, never the value."""

    reason = "SETTING_FILE"


class VariablesAndFiles(EnvSettingsSource):
    """Reads every setting, at any depth, from its variable or from the file that its variable with _FILE names."""

    def __init__(self, settings: type[BaseSettings]) -> None:
        """Read the files. Raises SettingFileError."""
        super().__init__(settings)
        names = _variables(settings, self.env_prefix.upper(), (self.env_nested_delimiter or "").upper())
        given = [name for name in names if name + _SUFFIX in os.environ]
        # By their names in lower case, as the settings are looked up.
        found = {name.lower(): variable(name) for name in given}
        files = {name.lower() + _SUFFIX.lower() for name in given}
        self.env_vars = {name: value for name, value in self.env_vars.items() if name not in files} | found


def variable(name: str) -> str:
    """The value of an environment variable, or of the file that NAME_FILE names without its last newline; "" where
    neither is set. Raises SettingFileError where both are, or the file cannot be read."""
    file = os.environ.get(name + _SUFFIX)
    if file is None:
        return os.environ.get(name, "")
    if name in os.environ:
        raise SettingFileError(f"{name} and {name}{_SUFFIX} are both set; unset one of the two")
    try:
        with Path(file).open("rb") as opened:
            value = opened.read(_MOST_BYTES + 1)
        if len(value) > _MOST_BYTES:
            raise SettingFileError(f"{name}{_SUFFIX}: {file} has more than {_MOST_BYTES} bytes")
        return value.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise SettingFileError(f"{name}{_SUFFIX}: {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingFileError(f"{name}{_SUFFIX}: {file}: is not UTF-8 text") from None


def unknown_variables(settings: type[BaseSettings]) -> list[str]:
    """One line for each variable of ours that is no setting, with the nearest that is one."""
    prefix = str(settings.model_config.get("env_prefix", "")).upper()
    names = list(_variables(settings, prefix, str(settings.model_config.get("env_nested_delimiter") or "").upper()))
    known = {*names, *(name + _SUFFIX for name in names), *_OTHERS}
    strange = sorted(name for name in os.environ if name.upper().startswith(prefix) and name.upper() not in known)
    return [
        f"{name} is no setting{_meant(name, known, len(prefix))}"
        for name in strange
        if not name.upper().startswith(tuple(prefix + kind for kind in _KINDS))
    ]


def refused_setting(error: ValidationError) -> str:
    """The first value that settings refuse, in one line, by the name of its variable; never the value itself."""
    first = error.errors(include_input=False, include_url=False)[0]
    name = "__".join(str(part) for part in first["loc"]).upper()
    return f"ACTIONLENS_{name}: {first['msg']}" if name else str(first["msg"])


def _meant(name: str, known: set[str], prefix: int) -> str:
    near = get_close_matches(name.upper()[prefix:], [other[prefix:] for other in known], n=1, cutoff=0.7)
    return f"; did you mean {name[:prefix]}{near[0]}?" if near else "; docs/settings.md lists all"


def _variables(model: type[BaseModel], prefix: str, delimiter: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name.upper()}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _variables(field.annotation, f"{prefix}{name.upper()}{delimiter}", delimiter)
