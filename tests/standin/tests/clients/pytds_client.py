"""Runs statements with python3-tds, a third-party client.

Standard input: a line of JSON with host, port, user, password, database and
optionally ca (the certificate file to trust) and login_only (encrypt only the
login); then one request per line:
- a statement as a JSON string,
- [statement, [parameter, ...]], where a parameter is a JSON value, or
  {type: text} for a type that JSON does not have,
- {"cancel": statement, "after": rows}, which reads this number of rows, cancels
  the statement and answers {"seconds": duration of the cancellation}.

Standard output: a line of JSON for the login, which has no rows, and one for
each request: {"rows": [[text or null, ...], ...]} or
{"error": number, "message": text}.
"""

import datetime
import decimal
import json
import struct
import sys
import time
import uuid

import OpenSSL  # noqa: F401 - pytds imports it only when TLS is used.
import pytds


def text(value):
    """The form of a value that the tests compare: exact, and the same for every client."""
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
    raise TypeError(f"a value of type {type(value)} is not supported")


def parameter(given):
    """The value of a parameter of a request."""
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


def answer(run):
    """The result of a function, or its database error."""
    try:
        return run()
    except pytds.tds_base.Error as error:
        number = getattr(error, "number", None)
        return {"error": number, "message": str(error)}


def write_line(answer):
    print(json.dumps(answer), flush=True)


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

    write_line(answer(connect))
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

    def execute(request):
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
        write_line(answer(lambda: execute(json.loads(line))))


main()
