# A cluster from nothing; load by its socket and by TCP; the sums agree afterwards.
bin=$(echo /usr/lib/postgresql/*/bin)
export PGDATA=$PWD/data PGPORT=$1 PGUSER=someone PGDATABASE=postgres
$bin/initdb -A trust -U someone >log 2>&1 || { cat log; exit 1; }
$bin/pg_ctl -w -s -l log -o "-k $PWD -c listen_addresses=127.0.0.1" start || { cat log; exit 1; }
for host in "$PWD" 127.0.0.1; do
	$bin/pgbench -h "$host" -q -i -s 1 2>/dev/null
	$bin/pgbench -h "$host" -n -c 4 -j 2 -t "$2" | grep -E 'actually|failed'
	psql -h "$host" -Atc 'select count(*), sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts'
done
psql -h 127.0.0.1 -Atc 'select md5(string_agg(i::text, $$,$$ order by i)) from generate_series(1, 100000) i'
$bin/pg_ctl -w -s -m immediate stop # as if it had crashed
$bin/pg_ctl -w -s -l log -o "-k $PWD -c listen_addresses=127.0.0.1" start || { cat log; exit 1; }
psql -h 127.0.0.1 -Atc 'select count(*), sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts'
$bin/pg_ctl -w -s -m fast stop
echo "ended: $?"
