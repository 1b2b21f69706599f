"""Reads results with python3-tds, a client that was not written here.

Standard input: a line of JSON with host, port, user, password, database and
optionally ca (a file to trust); then one statement a line, as a JSON string or
as [statement, [parameter, ...]]; a parameter is a value of JSON, or {type: text}
for what JSON has no type for; {"cancel": statement, "after": rows} reads so many
rows, cancels and answers {"seconds": number}. Standard output: one line of JSON for each of them,
{"rows": [[text or null, ...], ...]} or {"error": number, "message": text}.
The first line answers the login and has no rows.
"""

import datetime
import decimal
import json
import struct
import sys
import time
import uuid

import pytds


def text(value):
    """A value in the form that the test compares: exact, and the same for every client."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (int, uuid.UUID)):
        return str(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return struct.pack(">d", value).hex()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime):
        shown = value.strftime(f"{value.year:04}-%m-%d %H:%M:%S.%f")
        if value.tzinfo is None:
            return shown
        minutes = int(value.utcoffset().total_seconds()) // 60
        sign = "-" if minutes < 0 else "+"
        return f"{shown} {sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time):
        return value.strftime("%H:%M:%S.%f")
    raise TypeError(f"{type(value)} is not known here")


def parameter(given):
    """A parameter as JSON brings it."""
    if not isinstance(given, dict):
        return given
    ((kind, written),) = given.items()
    return {
        "decimal": decimal.Decimal,
        "bytes": lambda digits: pytds.Binary(bytes.fromhex(digits)),
        "uuid": uuid.UUID,
        "date": datetime.date.fromisoformat,
        "time": datetime.time.fromisoformat,
        "datetime": datetime.datetime.fromisoformat,
    }[kind](written)


def answer(ask):
    try:
        return ask()
    except pytds.tds_base.Error as error:
        number = getattr(error, "number", None)
        return {"error": number, "message": str(error)}


def say(line):
    print(json.dumps(line), flush=True)


def main():
    login = json.loads(sys.stdin.readline())
    ca = login.get("ca")
    connection = None

    def connect():
        nonlocal connection
        connection = pytds.connect(
            dsn=login["host"],
            port=login["port"],
            user=login["user"],
            password=login["password"],
            database=login["database"],
            autocommit=True,
            cafile=ca,
            validate_host=False,
            enc_login_only=login.get("login_only", False),
            disable_connect_retry=True,
            login_timeout=20,
        )
        return {}

    said = answer(connect)
    say(said)
    if connection is None:
        return
    cursor = connection.cursor()

    def cancel(statement, after):
        cursor.execute(statement)
        for _ in range(after):
            cursor.fetchone()
        begin = time.monotonic()
        cursor.cancel()
        return {"seconds": time.monotonic() - begin}

    def ask(request):
        if isinstance(request, dict):
            return cancel(request["cancel"], request["after"])
        if isinstance(request, str):
            cursor.execute(request)
        else:
            cursor.execute(request[0], tuple(parameter(given) for given in request[1]))
        if cursor.description is None:
            return {"rows": []}
        return {"rows": [[text(value) for value in row] for row in cursor.fetchall()]}

    for line in sys.stdin:
        say(answer(lambda: ask(json.loads(line))))


main()
