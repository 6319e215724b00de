# The load of a build machine: ROUNDS rounds of a clone, a make and a database.
# Each round prints what an undisturbed one prints: the tree's hash (without
# .git/index), what the program that was made says, git fsck's verdict, the
# hash of the database's dump. Times and names in commits are fixed.
set -eu
rounds=$1 dir=$2
export HOME="$dir" GIT_CONFIG_NOSYSTEM=1 LC_ALL=C TZ=UTC
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_AUTHOR_DATE='1700000000 +0000'
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_COMMITTER_DATE='1700000000 +0000'
mkdir -p "$dir/src"
cd "$dir/src"
git init -q -b main
objs=
calls=
for i in 1 2 3 4 5 6; do
	objs="$objs f$i.o"
	calls="$calls + f$i(n)"
	printf '#include "all.h"\nint f%d(int n) { int s = 0; for (int i = 0; i < n; i++) s += i %% %d; return s; }\n' "$i" "$i" >"f$i.c"
	echo "int f$i(int n);" >>all.h
	git add .
	git commit -q -m "file $i"
done
printf '#include <stdio.h>\n#include "all.h"\nint main(void) { int n = 1000; printf("%%d\\n", 0%s); return 0; }\n' "$calls" >main.c
printf 'prog: main.o%s\n\tcc -o $@ $^\n%%.o: %%.c all.h\n\tcc -O1 -c -o $@ $<\n' "$objs" >Makefile
git add .
git commit -q -m program
git gc -q

tree() {
	find . -path ./.git/index -prune -o -print | sort | while IFS= read -r f; do
		if [ -f "$f" ]; then sha256sum "$f"; else echo "$f"; fi
	done | sha256sum | cut -c1-16
}

r=0
while [ "$r" -lt "$rounds" ]; do
	r=$((r + 1))
	cd "$dir"
	rm -rf clone
	git clone -q src clone
	cd clone
	make -s -j2 prog
	out=$(./prog)
	fsck=$(git fsck --strict 2>&1) || fsck="$fsck status $?"
	[ -z "$(git status --porcelain -uno)" ]
	mode=delete
	[ $((r % 2)) = 0 ] || mode=wal
	sqlite3 db "pragma journal_mode=$mode" >/dev/null
	sqlite3 db 'create table t(i integer primary key, v text); create index v on t(v)'
	for part in 0 1 2 3; do
		sqlite3 db "with recursive n(i) as (select $part*500 union all select i+1 from n where i < $part*500+499)
			insert into t select i, hex(i*7919 % 1009) from n"
	done
	dump=$(sqlite3 db .dump | sha256sum | cut -c1-16)
	check=$(sqlite3 db 'pragma integrity_check')
	cp prog /dev/shm/prog
	cmp prog /dev/shm/prog
	rm -f db db-wal db-shm
	echo "step $r tree $(tree) prog $out fsck '$fsck' dump $dump $check"
done
