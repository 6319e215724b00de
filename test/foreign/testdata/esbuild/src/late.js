export default async () => { for await (const x of [1, 2]) console.log(`late ${x}`) }
