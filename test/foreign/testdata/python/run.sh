# An interpreter with its library: files, text, numbers, processes' statuses.
$P script.py given.txt 2>&1; echo $?
echo 'print(sum(range(10)))' | $P -; echo $?
$P -c 'import sys; print(sys.stdin.read().upper(), end=""); sys.exit(5)' <given.txt; echo $?
$P -c 'raise ValueError("as it is")' 2>&1 | tail -n 1
$P none.py >/dev/null 2>&1; echo $?
