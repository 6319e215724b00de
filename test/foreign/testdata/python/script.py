import collections, csv, datetime, decimal, fractions, hashlib, io, json, math, os, pathlib, random, re, string, struct, sys, tempfile, textwrap, zlib

print(sys.argv[1:], open(sys.argv[1]).read().split())
print(json.dumps({"a": [1, 2.5, None], "b": "ü"}, sort_keys=True), json.loads("[1, {}]"))
print(hashlib.sha256(b"text").hexdigest(), zlib.crc32(b"text"), zlib.decompress(zlib.compress(b"x" * 1000)) == b"x" * 1000)
print(re.sub(r"(\w+) (\w+)", r"\2 \1", "one two, three four"), math.factorial(30), 2**200 % 97)
print(decimal.Decimal(1) / 7, fractions.Fraction(3, 9), f"{math.pi:.10f}", round(-2.5), 1e22, 0.1 + 0.2)
print(datetime.date(2024, 2, 29) + datetime.timedelta(365), struct.pack("<IHd", 1, 2, 3.5).hex())
random.seed(7)
print([random.randrange(100) for _ in range(5)], collections.Counter("abracadabra").most_common(2))
top = pathlib.Path("made")
(top / "deep").mkdir(parents=True)
for i in range(20):
    (top / "deep" / f"{i}.txt").write_text(str(i) * i)
os.rename(top / "deep" / "3.txt", top / "three")
os.symlink("three", top / "link")
print(sorted(os.listdir(top)), sum(p.stat().st_size for p in top.rglob("*.txt")), (top / "link").read_text(), os.readlink(top / "link"))
with open("made/data", "w+b") as f:
    f.write(bytes(range(256)) * 100)
    f.seek(-10, 2)
    print(f.read(), f.tell(), f.truncate(5), os.stat("made/data").st_size >= 5)
for bad in ("none", "made/three/x", "made"):
    try:
        open(bad)
    except OSError as e:
        print(type(e).__name__)
try:
    os.rmdir("made")
except OSError as e:
    print(type(e).__name__)
with tempfile.TemporaryDirectory(dir="made") as t:
    open(os.path.join(t, "f"), "w").write("x")
print(os.path.exists(t), os.environ["GREETING"], textwrap.fill("some words to be filled " * 4, 30))
out = io.StringIO()
csv.writer(out).writerows([[1, "a,b"], ['"', None]])
print(repr(out.getvalue()), sorted(string.Formatter().parse("{a}{b!r}")))
def primes(n):
    sieve = bytearray([1]) * n
    for i in range(2, int(n**0.5) + 1):
        if sieve[i]:
            sieve[i * i :: i] = bytes(len(range(i * i, n, i)))
    return sum(sieve[2:])
print(primes(200000))
