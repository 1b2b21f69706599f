# shellcheck shell=sh
# Runs one service. Outlives the process that started it just long enough
# to stop the service and to remove its directory.
#
#   sh -c SCRIPT guardian DIRECTORY LOG SIGNAL COMMAND...
#
# Standard input is a pipe whose other end only the starting process has, so
# its end of file means that this process has ended. Lines on
# it are orders: "kill" (at once, as a crash would), "stop" and "start". Each
# is answered on standard output with "pid N", N being 0 when nothing runs; the
# first answer, before any order, means that the directory exists.
directory=$1 log=$2 signal=$3
shift 3
pid=0

start() {
    # A session of its own, so that the whole service can be signalled.
    setsid "$@" </dev/null >>"$log" 2>&1 &
    pid=$!
}

# A process that has ended remains as a zombie until it is waited for.
runs() {
    read -r state 2>/dev/null <"/proc/$pid/stat" || return 1
    case $state in *") Z "*) return 1 ;; esac
}

stop() {
    [ "$pid" -ne 0 ] || return 0
    kill -s "$1" -- "-$pid" 2>/dev/null || kill -s "$1" "$pid" 2>/dev/null
    # A service that ignores the signal is killed after ten seconds.
    turns=0
    while runs && [ "$turns" -lt 200 ]; do
        sleep 0.05
        turns=$((turns + 1))
    done
    kill -s KILL -- "-$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    pid=0
}

finish() {
    trap '' HUP INT TERM
    stop "$signal"
    [ -z "$directory" ] || rm -rf -- "$directory"
    exit 0
}

trap finish HUP INT TERM
# An answer to a process that has ended must not end this one before it has cleaned up.
trap : PIPE
if [ -n "$directory" ]; then
    mkdir -m 711 -- "$directory" || exit 1
fi
echo "pid $pid" 2>/dev/null
while read -r order; do
    case $order in
        kill) stop KILL ;;
        stop) stop "$signal" ;;
        start) start "$@" ;;
    esac
    echo "pid $pid" 2>/dev/null
done
finish
