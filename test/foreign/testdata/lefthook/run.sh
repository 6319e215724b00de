# Hooks of git: a commit starts the program, which asks git and starts commands.
export LEFTHOOK_BIN=$P NO_COLOR=1 CI=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
git init -q -b main . && git add lefthook.yml run.sh
$P version
$P validate; echo $?
$P install >/dev/null; echo $?
ls .git/hooks | grep -v sample
echo one >one.txt; echo two >two.txt; git add one.txt two.txt
git commit -q -m 'wrong'; echo $?
git commit -q -m 'right: words'; echo $?
echo three >three.txt; echo bad >bad.txt; git add three.txt bad.txt
git commit -q -m 'right: more'; echo $?
git rm -q --cached bad.txt; rm bad.txt
git commit -q -m 'right: more'; echo $?
$P run own; echo $?
$P run none; echo $?
$P uninstall; echo $?
ls .git/hooks | grep -v sample
git log --format=%s
git status --short
