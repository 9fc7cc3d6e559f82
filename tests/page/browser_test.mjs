// browser_test.mjs URL PACKAGES CHROMIUM HOSTILE: opens the page of a running coordinator and does what
// people do. Prints what it looked at; throws at the first thing that is wrong. The coordinator runs a
// job without end, and has one that waits, and a worker, by the name of HOSTILE.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const [url, packages, executablePath, HOSTILE] = process.argv.slice(2);
const require = createRequire(path.resolve(packages, "x.js"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const PATIENCE = 20_000;

const faults = [];
let away = false; // the coordinator is stopped: what cannot be reached is no fault

function watch(page) {
  page.setDefaultTimeout(PATIENCE);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !away) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("dialog", (dialog) => faults.push(`a dialog: ${dialog.message()}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${url}/`)) faults.push(`asked elsewhere: ${request.url()}`);
  });
  return page;
}

async function until(what, done, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (; Date.now() < end; await sleep(100)) {
    const value = await done();
    if (value) return value;
  }
  assert.fail(`waited in vain for ${what}`);
}

const live = (page) => page.locator("#connection[data-live=true]").waitFor();
const tile = async (page, name) => page.locator(`.tiles div:has(dt:text-is("${name}")) dd`).textContent();
const step = async (page) => Number((await tile(page, "Step")).split(" / ")[0].replaceAll(",", ""));
const loss = (page) => page.getByRole("group", { name: /^Loss:/ });
const range = (page) => loss(page).getAttribute("data-range");
const readout = async (page) => page.locator(".figure:first-child .readout").textContent();

async function findFaults(page, where) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run());
  assert.deepEqual(violations.map(({ id, nodes }) => `${where}: ${id}: ${nodes[0].html}`), []);
}

async function openFleet(page) {
  await page.goto(url);
  await live(page);
  const jobs = page.getByRole("table", { name: "Jobs" });
  await jobs.getByRole("row", { name: /watched/ }).waitFor();
  assert.equal(await jobs.getByRole("rowheader").count(), 2);
  await page.getByRole("table", { name: "Workers" }).getByRole("row", { name: /worker-1/ }).waitFor();
  for (const landmark of ["banner", "main"]) assert.equal(await page.getByRole(landmark).count(), 1, landmark);
}

// The names of a job and a worker are markup, and stay text.
async function meetHostility(page) {
  for (const table of ["Jobs", "Workers"])
    await page.getByRole("table", { name: table }).getByText(HOSTILE, { exact: true }).waitFor();
  await page.goto(`${url}/#/jobs/2`);
  await page.getByRole("heading", { level: 1, name: HOSTILE }).waitFor();
  assert.equal(await page.locator("img").count(), 0);
  assert.ok((await page.title()).includes(HOSTILE));
  await page.goto(`${url}/#/`);
}

// From the list to a job without a mouse; whatever has the focus can be seen to have it.
async function walkWithKeys(page) {
  await page.getByRole("heading", { level: 1, name: "Jobs and workers" }).waitFor();
  await page.locator(".home").focus();
  await page.keyboard.press("Tab");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, "solid");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("href")), "#/jobs/1");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "watched" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1", "the focus follows");
}

async function followJob(page) {
  await page.evaluate(() => { window.sameDocument = true; });
  const before = await until("a step", async () => step(page));
  await until("later steps", async () => await step(page) > before + 2);
  await until("held-out loss", async () => Number(await tile(page, "Held-out bits/byte")) > 0);
  assert.ok(Number(await tile(page, "Training bits/byte")) > 0);
  await until("a speed", async () => Number((await tile(page, "Tokens/s")).split(" ")[0]) > 0);
  await until("an ETA", async () => /\d+[hms]/.test(await tile(page, "ETA")));
  const text = page.locator(".texts li").first();
  await text.waitFor();
  const newest = async () => text.locator("h3").textContent();
  const was = await newest();
  await until("a newer text", async () => await newest() !== was);
  assert.ok((await text.locator("pre").textContent()).length > 20);
  // The newest events: where steps are quick, those of the start have gone out of the table.
  await page.getByRole("table", { name: "Events" }).getByText("checkpoint", { exact: true }).first().waitFor();
  assert.equal(await page.evaluate(() => window.sameDocument), true, "without a reload");
}

// How many pixels of the chart have nearly the colour that the style sheet names.
const inked = (page, color) => page.evaluate((name) => {
  const canvas = document.querySelector(".figure canvas");
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const want = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] > 200 && want.every((c, k) => Math.abs(data[i + k] - c) < 12)) ++count;
  return count;
}, color);

async function zoom(page) {
  await until("a drawn curve", async () => await inked(page, "--s0") > 100 && await inked(page, "--s1") > 30);
  await until("twelve steps", async () => await step(page) > 12);
  const plot = page.locator(".figure .u-over").first(), box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width * 0.3, box.y + box.height / 2);
  assert.match(await readout(page), /^step [\d,]+: training \d\.\d{3}/);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.7, box.y + box.height / 2, { steps: 5 });
  await page.mouse.up();
  const zoomed = (await range(page)).split(" ").map(Number);
  assert.ok(zoomed[0] > 0 && zoomed[1] > zoomed[0], String(zoomed));
  const now = await step(page);
  await until("later steps", async () => await step(page) > now + 1);
  assert.equal(await range(page), zoomed.join(" "), "what is looked at stays while steps come in");
  await loss(page).focus();
  await page.keyboard.press("Escape");
  assert.equal(await range(page), "all");
  await page.keyboard.press("+");
  assert.notEqual(await range(page), "all");
  await page.keyboard.press("ArrowRight");
  const first = await readout(page);
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await readout(page), first);
  await page.keyboard.press("-");
  await page.keyboard.press("-");
  assert.equal(await range(page), "all");
  await page.getByRole("button", { name: "Zoom in: Loss" }).press("Enter");
  assert.notEqual(await range(page), "all");
  await page.getByRole("button", { name: "Show all: Loss" }).press("Space");
  assert.equal(await range(page), "all");
}

const luminance = (rgb) => rgb.match(/\d+/g).slice(0, 3).map((c) => c / 255)
  .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);

async function changeLight(page) {
  const backgrounds = [];
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    backgrounds.push(luminance(background));
    await until(`a curve in ${colorScheme} colours`, async () => await inked(page, "--s0") > 100);
    await findFaults(page, `a job, ${colorScheme}`);
  }
  assert.ok(backgrounds[0] > 0.8 && backgrounds[1] < 0.1, String(backgrounds));
  await page.emulateMedia({ colorScheme: "light" });
}

async function holdPhone(browser) {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  const page = watch(await context.newPage());
  for (const place of ["#/", "#/jobs/1"]) {
    await page.goto(`${url}/${place}`);
    await live(page);
    await page.getByRole("table", { name: "Workers" }).getByRole("row").nth(1).waitFor();
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `${place} is ${width} wide`);
    await findFaults(page, `${place} on a phone`);
  }
  await until("a curve", async () => await inked(page, "--s0") > 50);
  await page.getByRole("button", { name: "Zoom in: Loss" }).tap();
  assert.notEqual(await range(page), "all");
  await context.close();
}

// More tabs than a browser has connections; then one that must do without the shared worker.
async function openManyTabs(context) {
  const tabs = [];
  for (let i = 0; i < 12; ++i) {
    const page = watch(await context.newPage());
    await page.goto(`${url}/#/jobs/1`);
    await live(page);
    tabs.push(page);
  }
  const before = await Promise.all(tabs.map(step));
  await until("steps in all tabs", async () => (await Promise.all(tabs.map(step))).every((now, i) => now > before[i]));
  for (const page of tabs) await page.close();
  const alone = watch(await context.newPage());
  await alone.addInitScript(() => { delete window.SharedWorker; });
  await alone.goto(url);
  await live(alone);
  await alone.close();
}

async function loseCoordinator(page) {
  away = true;
  console.log("please stop the coordinator");
  await page.locator("#connection[data-live=false]").waitFor();
  const before = await step(page);
  console.log("please start the coordinator");
  await page.locator("#connection[data-live=true]").waitFor({ timeout: 30_000 });
  away = false;
  await until("steps after the restart", async () => await step(page) > before, 30_000);
}

const browser = await chromium.launch({ executablePath, args: ARGS });
try {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  const page = watch(await context.newPage());
  const parts = [["the list", () => openFleet(page)], ["hostile names", () => meetHostility(page)],
    ["keys", () => walkWithKeys(page)], ["a job, live", () => followJob(page)], ["zoom", () => zoom(page)],
    ["dark and light", () => changeLight(page)], ["a phone", () => holdPhone(browser)],
    ["many tabs", () => openManyTabs(context)], ["a restart", () => loseCoordinator(page)]];
  for (const [what, look] of parts) {
    const began = Date.now();
    await look();
    assert.deepEqual(faults, [], what);
    console.log(`${what}: ${((Date.now() - began) / 1000).toFixed(1)} s`);
  }
} finally {
  await browser.close();
}
