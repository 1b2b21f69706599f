"""Parses T-SQL with Microsoft's own parser (ScriptDom), in the grammar of SQL Server 2016.

    parse.py RUNTIME PATH...

RUNTIME is the directory that contains ScriptDom and a .NET runtime. A PATH is a script for
sqlcmd (`.sql`), a file with one JSON string for each batch (`.jsonl`), or a directory of both.
Prints each text that is refused, and at last the number of texts. Fails if one is refused or
there are none.
"""

import ctypes
import json
import os
import sys
from pathlib import Path

# Lines of a script for sqlcmd that are not T-SQL.
DIRECTIVES = (":on error exit",)


def start_runtime(directory: Path) -> None:
    """Starts .NET in this process and lets Python import its assemblies."""
    import pythonnet

    bridge = Path(pythonnet.__file__).parent / "runtime" / "Python.Runtime.dll"
    assemblies = [str(path) for path in sorted(directory.glob("*.dll"))] + [str(bridge)]
    properties = {
        "TRUSTED_PLATFORM_ASSEMBLIES": ":".join(assemblies),
        "APP_PATHS": f"{directory}:{bridge.parent}",
        "NATIVE_DLL_SEARCH_DIRECTORIES": str(directory),
    }
    count = len(properties)
    strings = ctypes.c_char_p * count
    keys = strings(*(key.encode() for key in properties))
    values = strings(*(value.encode() for value in properties.values()))
    runtime = ctypes.CDLL(str(directory / "libcoreclr.so"))
    host, domain, start = ctypes.c_void_p(), ctypes.c_uint(), ctypes.c_void_p()
    results = [
        runtime.coreclr_initialize(
            sys.executable.encode(),
            b"parse",
            count,
            keys,
            values,
            ctypes.byref(host),
            ctypes.byref(domain),
        ),
        runtime.coreclr_create_delegate(
            host,
            domain,
            b"Python.Runtime",
            b"Python.Runtime.Loader",
            b"Initialize",
            ctypes.byref(start),
        ),
    ]
    if any(results):
        sys.exit(f"error: .NET does not start: {results}")
    initialize = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_int)(start.value)
    if initialize(b"", 0):
        sys.exit("error: .NET cannot be used from Python")


def batches_of(script: str):
    """The batches of a script for sqlcmd."""
    batch = []
    for line in script.splitlines() + ["GO"]:
        if line.strip().upper() == "GO":
            yield "\n".join(batch)
            batch = []
        elif line.strip() not in DIRECTIVES:
            batch.append(line)


def texts_of(path: Path):
    """The texts in a file or directory."""
    if path.is_dir():
        for file in sorted(path.iterdir()):
            yield from texts_of(file)
    elif path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)
    elif path.suffix == ".sql":
        yield from batches_of(path.read_text(encoding="utf-8"))


def main() -> None:
    runtime, *paths = [Path(argument).resolve() for argument in sys.argv[1:]]
    start_runtime(runtime)
    import clr

    clr.AddReference("Microsoft.SqlServer.TransactSql.ScriptDom")
    from Microsoft.SqlServer.TransactSql.ScriptDom import TSql130Parser
    from System.IO import StringReader

    parser = TSql130Parser(True)
    texts = {text for path in paths for text in texts_of(path)}
    refused = 0
    for text in sorted(texts):
        _, errors = parser.Parse(StringReader(text))
        messages = [f"line {error.Line}: {error.Message}" for error in errors]
        if messages:
            refused += 1
            print(f"{text}\n  -> {'; '.join(messages)}")
    print(f"T-SQL: {len(texts)} texts parsed by ScriptDom, {refused} refused")
    if refused or not texts:
        sys.exit(1)


if __name__ == "__main__":
    os.environ["DOTNET_SYSTEM_GLOBALIZATION_INVARIANT"] = "1"
    os.environ["COMPlus_EnableDiagnostics"] = "0"
    main()
