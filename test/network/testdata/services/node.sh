# An HTTP server and its clients in one program of node.
exec node - "$1" <<'C'
const http = require('http'), crypto = require('crypto');
const body = crypto.createHash('sha512').update('x').digest().toString('hex').repeat(5000);
const agent = new http.Agent({ keepAlive: true, maxSockets: 20 });
const server = http.createServer((q, r) => {
	const h = crypto.createHash('sha256');
	q.on('data', d => h.update(d));
	q.on('end', () => { r.setHeader('x-got', h.digest('hex')); r.end(q.url + body); });
});
const ask = i => new Promise((ok, fail) => {
	const data = Buffer.alloc(1000 * i, i);
	const q = http.request({ port: server.address().port, host: '127.0.0.1', path: '/' + i, method: 'POST', agent: i % 2 ? agent : false }, r => {
		let text = '';
		r.setEncoding('latin1').on('data', d => text += d).on('end', () =>
			ok(text === '/' + i + body && r.headers['x-got'] === crypto.createHash('sha256').update(data).digest('hex')));
	});
	q.on('error', fail);
	q.end(data);
});
server.listen(+process.argv[2], '127.0.0.1', async () => {
	const all = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(i)));
	console.log(all.filter(x => x).length, 'of', all.length);
	http.get({ port: server.address().port, host: '127.0.0.1', agent: false }, r => { r.destroy(); agent.destroy(); server.close(() => console.log('closed')); });
});
C
