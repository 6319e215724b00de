echo "args $# $1 $2"
read -r line
echo "read $line"
f() { local x=$1; echo "f $x $((x * 7))"; return 3; }
f 6 || echo "returned $?"
printf '%s\n' c a b | sort | while read -r l; do echo "line $l"; done
x=$(echo inner | tr a-z A-Z)
echo "$x ${#x} ${nope-default} ${x/INN/OUT}"
cat <<END | cat -n
here $x
  $(printf '%s' nested)
END
mkdir -p d/e
for i in {1..12}; do echo "$i" >"d/$i.txt"; done
echo d/1*.txt
cd d
cat *.txt | sort -n | tail -n 2
[[ -f 1.txt && -d e && ! -e none && -x /bin/sh ]] && echo tests
ln -s 1.txt link && [[ -L link ]] && cat link
cd ..
/bin/sh -c 'exit 9' || echo "status $?"
/bin/sh -c 'kill -TERM $$' || echo "status $?"
nosuchcommand 2>/dev/null || echo "status $?"
./script.sh 2>/dev/null || echo "status $?"
false | true
echo "pipe $?"
set -o pipefail
sh -c 'exit 5' | true
echo "pipe $?"
cat <(echo one) <(echo two; sleep 0.1; echo three)
words=(a 'b c' d)
echo "${#words[@]} ${words[1]} ${words[@]:1}"
case $2 in two*) echo case ;; *) echo none ;; esac
(cd d && echo sub >out.txt; exit 4)
echo "subshell $?"
for i in 1 2 3; do (sleep 0.0$i; echo "job $i" >d/job$i) & done
wait
cat d/job*
seq 100000 | head -n 1
seq 30000 | sort -rn | wc -l
echo append >>d/out.txt
echo error >&2
cat d/out.txt 2>&1
$P -c 'echo "nested $X"'
export X=exported
env | grep '^X='
X=once $P -c 'echo "nested $X"'
trap 'echo "bye $?"' EXIT
exit 6
