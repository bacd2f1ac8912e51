// The page in a real Chromium, against a running Flowmeter:
//
//     node e2e/page.mjs BASE TOKEN '{"commands":…,"agents":…,"user":…}'
//
// TOKEN is an administrator's of an organization in which so many commands (command-0 among
// them, failing) and agent interactions (of coder, with the model large) happened within the
// last hour. CHROMIUM names another browser than Debian's,
// SCREENSHOTS a folder for pictures.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

import { chromium } from "playwright-core";

const [base, token, given] = process.argv.slice(2);
const expected = JSON.parse(given);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PATIENCE = 60_000;

const PANELS = [
  "Odd lately",
  "Over time",
  "Hours of the week",
  "Is it getting better?",
  "System",
  "Commands",
  "Agents",
  "Cost by model",
  "Cost by team",
  "Latest errors",
  "Dead letters",
];

function call(path, init = {}) {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  return fetch(`${base}/api/metrics${path}`, { ...init, headers });
}

/** What the page asks and this server does not offer; its panels must say so, and no more. */
async function notOffered() {
  const paths = ["/dashboard", "/live", "/commands?limit=1", "/agents?limit=1", "/dead-letters?limit=1", "/performance"];
  const missing = [];
  for (const path of paths) {
    // A plain GET of what wants an upgrade or a POST is refused otherwise than with 404.
    const { status } = await call(path, { signal: AbortSignal.timeout(PATIENCE) });
    if (status === 404 || status === 405) missing.push(path.split("?")[0]);
  }
  if (missing.length > 0) console.log(`not offered by this server: ${missing.join(" ")}`);
  return missing;
}

async function healthy() {
  for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(200)) {
    if ((await call("/health")).ok) return;
  }
  assert.fail("the service is not healthy");
}

/** Opens the page, noting whatever should not happen. */
async function open(browser, tolerated) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light" });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const faults = [];
  const answers = new Map();
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(base).origin) faults.push(`asked another: ${request.url()}`);
  });
  page.on("response", (response) => answers.set(response.url(), response.status()));
  page.on("pageerror", (error) => faults.push(`threw: ${error.stack}`));
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    const url = message.location().url;
    const about = `${url} ${message.text()}`;
    const isTolerated = tolerated.some((path) => about.includes(`/api/metrics${path}`));
    if (!isTolerated && answers.get(url) !== 401) faults.push(`console: ${about}`);
  });
  return { page, faults };
}

async function signIn(page) {
  await page.getByLabel("Token", { exact: true }).fill(`  Bearer ${token}\n`);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Over time" }).waitFor();
}

async function figure(page, label) {
  const value = page.locator(".figure", { has: page.getByText(label, { exact: true }) }).locator(".value");
  return value.getAttribute("title");
}

function focused(page) {
  return page.evaluate(() => document.activeElement.textContent);
}

async function becomes(what, wanted, probe) {
  let found;
  for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(50)) {
    found = await probe();
    if (found === wanted) return;
  }
  assert.fail(`${what} is ${found} and should become ${wanted}`);
}

async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const told = grave.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
  assert.deepEqual(told, [], `${what}: what axe finds`);
}

async function picture(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}

const steps = {
  async "a wrong token is refused with a reason"({ page }) {
    await page.goto(`${base}/?range=1h`);
    await page.getByLabel("Token", { exact: true }).fill("not.a.token");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("This is not a token").waitFor();
    await page.getByLabel("Token", { exact: true }).fill(`${token}x`);
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("does not believe").waitFor();
    await accessible(page, "the sign-in");
    await picture(page, "sign-in");
  },
  async "the numbers are those that were posted"({ page }) {
    await signIn(page);
    await becomes("commands", String(expected.commands), () => figure(page, "Commands"));
    await becomes("agent interactions", String(expected.agents), () => figure(page, "Agent interactions"));
  },
  async "every panel is there, and says so when it has nothing to say"({ page, missing }) {
    for (const name of PANELS) await page.getByRole("region", { name, exact: true }).waitFor();
    await page.locator(".waiting").first().waitFor({ state: "detached" });
    const excuses = await page.locator(".excuse").allTextContents();
    const unexpected = excuses.filter((text) => !text.startsWith("This server does not offer this yet."));
    assert.deepEqual(unexpected, []);
    assert.equal(excuses.length > 0, missing.some((path) => path !== "/live"), excuses.join());
  },
  async "the lists are of the same events"({ page, missing }) {
    const names = async (panel, name) => {
      const region = page.getByRole("region", { name: panel, exact: true });
      await region.getByText(name, { exact: true }).first().waitFor();
    };
    if (!missing.includes("/dashboard")) {
      await names("Commands", "command-0");
      await names("Agents", "coder");
      await names("Cost by model", "large");
    }
    if (!missing.includes("/commands")) await names("Latest errors", "command-0");
    if (!missing.includes("/dead-letters")) await names("Dead letters", "Nothing was refused.");
  },
  async "what happens now is shown without asking again"({ page, missing }) {
    const mode = missing.includes("/live") ? "Every 5 s" : "Live";
    await page.getByRole("button", { name: `Live updates: ${mode}` }).waitFor();
    const event = { user_id: expected.user, command_name: "build", execution_time_ms: 7, status: "success" };
    const { status } = await call("/commands", { method: "POST", body: JSON.stringify(event) });
    assert.equal(status, 202);
    await becomes("commands", String(expected.commands + 1), () => figure(page, "Commands"));
  },
  async "the charts are read with the keys and with the mouse, and as a table"({ page }) {
    await page.locator("body").press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
    await page.getByRole("radio", { name: "1 hour" }).focus();
    await page.keyboard.press("ArrowRight");
    await page.waitForURL((url) => url.search === "");
    await page.getByRole("group", { name: "Charts over time" }).focus();
    const when = page.locator(".strips .when");
    // The range was changed a moment ago: until its numbers are there, no bucket can be read.
    await becomes("the last bucket is read", true, async () => {
      await page.keyboard.press("End");
      return /\d\d:\d\d – \d\d:\d\d/.test(await when.textContent());
    });
    const last = await when.textContent();
    await page.keyboard.press("ArrowLeft");
    await becomes("another bucket is read", true, async () => (await when.textContent()) !== last);
    await page.keyboard.press("Escape");
    const chart = page.locator(".chart .u-over").first();
    await chart.hover();
    await becomes("the pointer's bucket is read", true, async () => /\d\d:\d\d/.test(await when.textContent()));
    await page.getByRole("button", { name: "Table", exact: true }).press("Enter");
    const numbers = page.locator(".numbers tbody tr").first().locator("td").first();
    await becomes("commands in the table", true, async () => Number(await numbers.textContent()) > 0);
    await page.getByRole("button", { name: "Table", exact: true }).press("Enter");
    await page.getByRole("button", { name: /^Live updates/ }).press("Enter");
    await page.getByRole("button", { name: "Live updates: Paused" }).press("Enter");
  },
  async "the range is exported in every format, by the keys alone"({ page }) {
    const dialog = page.getByRole("dialog", { name: "Export the last hour" });
    await page.getByRole("radio", { name: "24 hours" }).focus();
    await page.keyboard.press("ArrowLeft");
    await page.getByRole("button", { name: "Export" }).press("Enter");
    await dialog.waitFor();
    await accessible(page, "the export");
    await picture(page, "export");
    const download = async (kind, format) => {
      await dialog.getByLabel("Events").selectOption(kind);
      await dialog.getByLabel("Format").selectOption(format);
      const [file] = await Promise.all([
        page.waitForEvent("download"),
        dialog.getByRole("button", { name: "Download" }).press("Enter"),
      ]);
      const name = file.suggestedFilename();
      assert.match(name, new RegExp(`^flowmeter-${kind}-\\d{8}T\\d{6}Z-\\d{8}T\\d{6}Z\\.${format}$`));
      await dialog.getByRole("status").getByText(name).waitFor();
      assert.equal(await focused(page), "Download");
      return readFileSync(await file.path());
    };
    const lines = (content) => content.toString().trimEnd().split("\n");
    // The last one is too new for an export at first, which leaves out the last seconds. Asked of
    // the server, since a browser takes only so many downloads at a time, and is silent on the rest.
    await becomes("commands to export", expected.commands + 1, async () => {
      const answer = await call("/export/ndjson?kind=commands");
      return lines(await answer.text()).length;
    });
    const [names, ...commands] = lines(await download("commands", "csv"));
    assert.ok(names.split(",").includes("command_name"), names);
    assert.equal(commands.length, expected.commands + 1);
    const agents = lines(await download("agents", "ndjson")).map((line) => JSON.parse(line));
    assert.equal(agents.length, expected.agents);
    assert.ok(agents.every((agent) => agent.agent_name === "coder"));
    const parquet = await download("commands", "parquet");
    assert.equal(parquet.subarray(0, 4).toString() + parquet.subarray(-4).toString(), "PAR1PAR1");

    await page.route("**/api/metrics/export/*", (route) =>
      route.fulfill({ status: 429, contentType: "application/problem+json", json: { detail: "Too many exports run." } }),
    );
    await dialog.getByRole("button", { name: "Download" }).press("Enter");
    await dialog.getByRole("status").getByText("Too many exports run.").waitFor();
    await page.unroute("**/api/metrics/export/*");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    assert.equal(await focused(page), "Export");
    await page.getByRole("radio", { name: "1 hour" }).focus();
    await page.keyboard.press("ArrowRight");
  },
  async "no figure reaches into the next one"({ page }) {
    // Of a copy, in which each says as much as one may.
    const wide = () =>
      page.locator(".figures").evaluate((figures) => {
        const copy = figures.cloneNode(true);
        figures.after(copy);
        for (const note of copy.querySelectorAll(".note")) {
          note.replaceChildren();
          for (const text of ["+12.3\u2009%", "commands 1.23\u2009s"]) {
            note.append(Object.assign(document.createElement("span"), { textContent: text }));
          }
        }
        const notes = [...copy.querySelectorAll(".note")];
        const reaching = notes.filter((note) => note.scrollWidth > note.clientWidth);
        copy.remove();
        return reaching.map((note) => note.textContent);
      });
    for (const width of [1250, 1440, 1720]) {
      await page.setViewportSize({ width, height: 900 });
      assert.deepEqual(await wide(), [], `at ${width} pixels`);
    }
    await page.setViewportSize({ width: 1440, height: 900 });
  },
  async "it is accessible in light and in dark, wide and narrow"({ page }) {
    await accessible(page, "light");
    await picture(page, "light");
    await page.getByRole("button", { name: "Use dark colours" }).click();
    await accessible(page, "dark");
    await picture(page, "dark");
    await page.setViewportSize({ width: 390, height: 844 });
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    await becomes("what is wider than a phone", true, async () => (await overflow()) <= 0);
    await accessible(page, "narrow");
    await picture(page, "narrow");
    await page.setViewportSize({ width: 1440, height: 900 });
  },
  async "a token that ends leads back to where one was"({ page }) {
    await page.route("**/api/metrics/aggregated*", (route) => route.fulfill({ status: 401, json: { code: "token_invalid" } }));
    // Not check(), which would look at the button once more, and it may be gone.
    await page.getByRole("radio", { name: "24 hours" }).focus();
    await page.keyboard.press("ArrowRight");
    await page.getByText("Your token has ended").waitFor();
    await page.unroute("**/api/metrics/aggregated*");
    assert.equal(new URL(page.url()).search, "?range=7d");
    await signIn(page);
    await becomes("commands", String(expected.commands + 1), () => figure(page, "Commands"));
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Token", { exact: true }).waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length + Number("flowmeter.token" in localStorage)), 0);
  },
};

await healthy();
const missing = await notOffered();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  // A stream that is not ready yet is tried again; that it comes is asked for below. An export
  // is refused on purpose.
  const { page, faults } = await open(browser, [...missing, "/live", "/export/"]);
  for (const [name, step] of Object.entries(steps)) {
    const began = Date.now();
    try {
      await step({ page, missing });
      assert.deepEqual(faults, []);
    } catch (error) {
      await picture(page, "failed");
      throw new Error(`${name}: ${error.message}`, { cause: error });
    }
    console.log(`${name}: ${Date.now() - began} ms`);
  }
} finally {
  await browser.close();
}
