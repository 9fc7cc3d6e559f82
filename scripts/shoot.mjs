// shoot.mjs PACKAGES URL OUT WIDTH HEIGHT light|dark: a picture of what a browser shows at URL, some
// seconds after it was opened. For scripts/screenshots.
import { createRequire } from "node:module";
import path from "node:path";

const [packages, url, out, width, height, colorScheme] = process.argv.slice(2);
const { chromium } = createRequire(path.resolve(packages, "x.js"))("playwright-core");
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu",
  "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--hide-scrollbars"] });
const page = await browser.newPage({ viewport: { width: Number(width), height: Number(height) }, colorScheme });
await page.goto(url);
await page.waitForTimeout(4000);
await page.screenshot({ path: out });
await browser.close();
