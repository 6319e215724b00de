# A shell: processes, pipes, FIFOs, signals, statuses, files.
echo 'a line' | $P script.sh one 'two words'
echo $?
$P -c 'echo "$1 $0"; exit 7' zero first
echo $?
echo 'echo from the input; false' | $P
echo $?
$P -c 'echo "unfinished'
echo $?
$P none.sh
echo $?
