# A server, its command line and its load, all on the loopback interface.
redis-server --port "$1" --bind 127.0.0.1 --save "" --logfile log &
pid=$!
until redis-cli -p "$1" ping 2>/dev/null | grep -q PONG; do kill -0 $pid || exit 1; done
redis-benchmark -p "$1" -t set,get,lpush -n 2000 -c 20 --csv | cut -d, -f1
redis-benchmark -p "$1" -t set,get,lpush -n 20000 -c 20 -P 16 --csv | cut -d, -f1
redis-cli -p "$1" <<'C'
mset a 1 b 2
incrby a 41
exists a b
subscribe
object encoding b
C
(echo multi; for i in $(seq 2000); do echo "rpush list $i"; done; echo exec) | redis-cli -p "$1" | tail -n 1
redis-cli -p "$1" --pipe <<'C' | tail -n 1
SET x y
GET x
C
redis-cli -p "$1" llen list
redis-cli -p "$1" shutdown nosave
wait $pid
echo "ended: $?"
