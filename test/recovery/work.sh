# The shell's workload: ROUNDS rounds of appends, renames, directories, pipes and
# rows of a database. Each round prints one line that depends on all before it.
set -eu
rounds=$1 dir=$2
mkdir -p "$dir"
cd "$dir"
: >log
have=no
if command -v sqlite3 >/dev/null; then
	have=yes
	sqlite3 db 'create table t(i integer primary key, v text)'
fi
i=0
while [ "$i" -lt "$rounds" ]; do
	i=$((i + 1))
	echo "round $i of the log" >>log
	mkdir "d$i"
	echo "$i" >"d$i/new"
	mv "d$i/new" "d$i/name"
	read -r name <"d$i/name"
	[ "$name" = "$i" ]
	sum=$(tr a-z A-Z <log | cksum)
	rows=none
	if [ "$have" = yes ]; then
		rows=$(sqlite3 db "begin; insert into t values($i, 'row $i'); commit; select count(*), sum(i) from t")
	fi
	echo "step $i $sum $rows"
done
[ "$have" = no ] || sqlite3 db 'pragma integrity_check'
ls -l | awk '{print $1, $NF}'
cksum log
