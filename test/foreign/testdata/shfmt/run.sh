# Files are read, compared and replaced.
$P -i 2 -ci messy.bash; echo $?
$P -d .; echo $?
$P -l .; echo $?
$P -f . | sort; echo $?
$P -tojson <messy.bash >tree.json; echo $?
chmod 750 messy.bash
$P -s -w .; echo $?
stat -c '%a %n' *.bash sub/*
$P -l .; echo $?
echo 'if true; then' | $P; echo $?
echo 'echo ${a' >bad.sh
$P -l bad.sh; echo $?
$P none.sh; echo $?
chmod 555 sub; $P -i 8 -w sub/other; echo $?; chmod 755 sub
