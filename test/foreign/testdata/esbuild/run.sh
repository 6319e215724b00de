# A project of three hundred modules is bundled and minified, and some that cannot be.
mkdir src/made
i=0
while [ $i -lt 300 ]; do
	echo "import { sum as a } from './$(((i + 1) % 300))'; import { sum as b } from './$((i * 7 % 300))'
export const sum = (x: number): number => x > $i ? a(x - 1) : x + (b.length ?? 0), unused$i = 'never'" >src/made/$i.ts
	i=$((i + 1))
done
$P --version
$P src/main.tsx --bundle --minify --splitting --format=esm --sourcemap --outdir=out --metafile=meta.json --loader:.png=file \
	--target=es2017 '--define:process.env.NODE_ENV="production"' --jsx-factory=h --log-level=warning
echo $?
$P src/main.tsx --bundle --outfile=plain/all.js --loader:.png=dataurl --platform=node --banner:js='// made' --log-level=warning
echo $?
$P --analyze=verbose src/late.js --outdir=analyzed --log-level=warning
echo $?
echo 'let x: number = 1 + 1; export default <T,>(y: T) => x' | $P --loader=ts --minify --target=es6
echo $?
echo 'import "./none"; let let = 1' >bad.js
$P bad.js --bundle --outfile=none.js --color=false
echo $?
$P src/none.ts --bundle --color=false
echo $?
$P --no-such-flag --color=false
echo $?
