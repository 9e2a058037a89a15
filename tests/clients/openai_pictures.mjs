// The official JavaScript client against a server: node openai_pictures.mjs BASE_URL PICTURE.png
// Prints one JSON line with what it got; tests/server/test_picture_clients.py reads it.
import fs from "node:fs";
import OpenAI, { toFile } from "openai";

const [baseURL, picture] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const said = {};

const models = await client.models.list();
said.models = models.data.map((model) => model.id);

const drawn = await client.images.generate({ model: "nano", prompt: 'A sign that says "OPEN"', size: "64x64", n: 2 });
said.drawn = drawn.data.map((one) => one.b64_json);
said.seeds = drawn.data.map((one) => one.seed);

const image = await toFile(fs.createReadStream(picture), "picture.png", { type: "image/png" });
const edited = await client.images.edit({ model: "nano", image, prompt: "a red circle", size: "64x64" });
said.edited = edited.data[0].b64_json;

const stream = await client.images.generate({
  model: "nano", prompt: "a card", size: "64x64", stream: true, partial_images: 1,
});
said.events = [];
for await (const event of stream) said.events.push(event.type);

try {
  await client.images.generate({ model: "nano", prompt: "a card", size: "9999x64" });
} catch (error) {
  said.refused = { status: error.status, param: error.param, code: error.code };
}
console.log(JSON.stringify(said));
