# A server for its own user's key: commands, statuses, streams, a terminal, files.
chmod 700 .
ssh-keygen -q -t ed25519 -N '' -f host
ssh-keygen -q -t ed25519 -N '' -f key
cp key.pub authorized
mkdir -p /run/sshd
/usr/sbin/sshd -D -e -p "$1" -f /dev/null -o ListenAddress=127.0.0.1 -h "$PWD/host" -o PidFile=none -o UsePAM=no \
	-o StrictModes=no -o AuthorizedKeysFile="$PWD/authorized" -o Subsystem="sftp internal-sftp" 2>log &
pid=$!
until ssh-keyscan -t ed25519 -p "$1" 127.0.0.1 >known 2>/dev/null && [ -s known ]; do kill -0 $pid || { cat log; exit 1; }; done
opts="-F /dev/null -i key -o UserKnownHostsFile=known -o StrictHostKeyChecking=yes -o BatchMode=yes"
s="ssh -p $1 $opts 127.0.0.1"
$s 'echo "hello from $(id -un)"; exit 7'
echo "status $?"
head -c 3000000 /dev/urandom >big
$s cat <big | cmp - big && echo same
$s -tt 'tty >/dev/null && stty size >/dev/null && echo a terminal' </dev/null 2>/dev/null | tr -d '\r'
scp -q -P "$1" $opts big "127.0.0.1:$PWD/copy" && cmp big copy && echo copied
$s -N -L "$2:127.0.0.1:$1" & forward=$!
until ssh-keyscan -t ed25519 -p "$2" 127.0.0.1 2>/dev/null | grep -q ed25519; do kill -0 $forward || exit 1; done
echo forwarded
kill $forward
kill $pid
wait $pid
echo "ended: $?"
