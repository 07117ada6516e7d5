//! The report of report.yml in Chromium: of clusters that were never there, written by Ansible alone. It is legible in both
//! colour schemes and at both widths, fetches nothing, and shows as text whatever a node answers.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::command::Cmd;
use crate::project::Project;
use crate::{tool, venv};

/// A telephone, and a desktop.
const WIDTHS: [u32; 2] = [390, 1280];
/// Clusters, each a file of `modules/xtask/report`. The long form adds one that takes long to write.
const CASES: [&str; 5] = ["healthy", "sick", "silent", "hostile", "tame"];
const LONG: &str = "many";
/// Fewer texts than any report has: a page that is empty passes everything else.
const TEXTS: usize = 60;

/// What the browser found of a report at a width.
#[derive(Debug, Deserialize)]
pub struct Sight {
    name: String,
    width: u32,
    faults: Vec<String>,
    texts: usize,
    height: u32,
    /// Its elements with the names of their attributes.
    shape: String,
}

/// A colour scheme, as Blink's setting has it.
#[derive(Clone, Copy)]
pub enum Scheme {
    Dark = 0,
    Light = 1,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Scheme::Dark => "dark",
            Scheme::Light => "light",
        }
    }
}

/// The layer.
pub fn report(project: &Project, is_full: bool) -> Result<()> {
    venv::ensure(project)?;
    let browser = Browser::at(project, project.target().join("report"))?;
    // Texts of the hostile cluster lead here: whoever follows one is seen.
    let canary = TcpListener::bind("127.0.0.1:0").context("no port for the canary")?;
    canary.set_nonblocking(true)?;
    let cases: Vec<&str> = CASES.into_iter().chain(is_full.then_some(LONG)).collect();
    write_reports(project, &browser.place, &cases, canary.local_addr()?.port())?;

    let mut count = 0;
    for scheme in [Scheme::Light, Scheme::Dark] {
        let sights = browser.measure(&cases, &WIDTHS, scheme)?;
        for sight in &sights {
            let at = format!("{} at {} px, {}", sight.name, sight.width, scheme.name());
            ensure!(sight.faults.is_empty(), "{at}:\n{}", sight.faults.join("\n"));
            ensure!(sight.texts >= TEXTS, "{at}: {} texts only", sight.texts);
            count += sight.texts;
        }
        same_shape(&sights)?;
        let pictured = if is_full { cases.as_slice() } else { &["sick"] };
        for sight in sights.iter().filter(|sight| pictured.contains(&sight.name.as_str())) {
            browser.picture(sight, scheme)?;
        }
    }
    faults_are_found(&browser)?;
    ensure!(canary.accept().is_err(), "a report fetched what a node's answer named");
    println!("{} reports, {count} texts measured, pictures in {}", cases.len(), browser.place.display());
    Ok(())
}

/// A report that a play wrote, at every width and in both schemes; the directory is emptied and keeps its pictures.
pub fn legible(project: &Project, place: PathBuf, written: &Path) -> Result<()> {
    let browser = Browser::at(project, place)?;
    fs::copy(written, browser.place.join("written.html")).context("no report was written")?;
    for scheme in [Scheme::Light, Scheme::Dark] {
        for sight in browser.measure(&["written"], &WIDTHS, scheme)? {
            ensure!(
                sight.faults.is_empty(),
                "{} px, {}:\n{}",
                sight.width,
                scheme.name(),
                sight.faults.join("\n")
            );
            ensure!(sight.texts >= TEXTS, "{} texts only", sight.texts);
            browser.picture(&sight, scheme)?;
        }
    }
    Ok(())
}

/// What hostile texts break out of becomes an element or an attribute: the report of harmless ones has the same of them.
fn same_shape(sights: &[Sight]) -> Result<()> {
    let of = |name: &str| {
        sights.iter().find(|sight| sight.name == name).context("no sight").map(|sight| &sight.shape)
    };
    let (hostile, tame) = (of("hostile")?, of("tame")?);
    let differing = hostile.lines().zip(tame.lines()).enumerate().find(|(_, (a, b))| a != b);
    if let Some((index, (a, b))) = differing {
        bail!(
            "hostile texts change the report: element {index} is {a:?} where it is {b:?} with harmless ones"
        );
    }
    ensure!(hostile == tame, "hostile texts change the number of elements");
    Ok(())
}

/// The measuring itself: a page that has every fault is told each.
fn faults_are_found(browser: &Browser) -> Result<()> {
    let sights = browser.measure(&["broken"], &WIDTHS[..1], Scheme::Light)?;
    let found = sights.first().map(|sight| sight.faults.join("\n")).unwrap_or_default();
    for fault in [
        "px wide in 390",
        "element script",
        "style with url()",
        "has onclick",
        "leads to",
        "fetches",
        "a contrast of",
        "px high",
    ] {
        ensure!(found.contains(fault), "measure.html does not find {fault:?}: {found}");
    }
    Ok(())
}

fn write_reports(project: &Project, into: &Path, cases: &[&str], canary: u16) -> Result<()> {
    let values = serde_json::json!({
        "templates": project.path("playbooks/templates"),
        "into": into,
        "cases": cases,
        "canary": canary,
    });
    venv::program(project, "ansible-playbook")
        .args(["--inventory", "localhost,", "--connection", "local", "--extra-vars", &values.to_string()])
        .arg(project.path("modules/xtask/report/render.yml"))
        .env("ANSIBLE_LOCALHOST_WARNING", "0")
        .run()
}

/// Debian's Chromium, and where pages and pictures are.
pub struct Browser {
    place: PathBuf,
}

impl Browser {
    /// Installs it where it is missing, and empties the place.
    pub fn at(project: &Project, place: PathBuf) -> Result<Browser> {
        tool::need("chromium", "chromium")?;
        if place.exists() {
            fs::remove_dir_all(&place).with_context(|| format!("can't empty {}", place.display()))?;
        }
        fs::create_dir_all(&place).with_context(|| format!("can't make {}", place.display()))?;
        for page in ["measure.html", "broken.html"] {
            fs::copy(project.path("modules/xtask/report").join(page), place.join(page)).context(page)?;
        }
        Ok(Browser { place })
    }

    fn command(&self, scheme: Scheme) -> Cmd {
        Cmd::new("timeout")
            .args([
                "--kill-after",
                "5",
                "120",
                "chromium",
                "--headless",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            // Root has no sandbox, and a container little shared memory; the pages are our own.
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--allow-file-access-from-files"])
            .arg(format!("--user-data-dir={}", self.place.join("profile").display()))
            .arg(format!("--blink-settings=preferredColorScheme={}", scheme as u8))
    }

    /// What measure.html says of these reports.
    pub fn measure(&self, names: &[&str], widths: &[u32], scheme: Scheme) -> Result<Vec<Sight>> {
        let widths: Vec<String> = widths.iter().map(u32::to_string).collect();
        let page = self.place.join("measure.html");
        let address =
            format!("file://{}?reports={}&widths={}", page.display(), names.join(","), widths.join(","));
        let dom =
            self.command(scheme).args(["--virtual-time-budget=30000", "--dump-dom", &address]).read()?;
        let result = dom.split_once("<pre id=\"result\">").and_then(|(_, rest)| rest.split_once("</pre>"));
        let result = result.context("measure.html has no result")?.0;
        let result = result.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        serde_json::from_str(&result).with_context(|| format!("measure.html says {result:?}"))
    }

    /// The whole of a report as a picture, for people.
    fn picture(&self, sight: &Sight, scheme: Scheme) -> Result<()> {
        let Sight { name, width, height, .. } = sight;
        let file = self.place.join(format!("{name}-{width}-{}.png", scheme.name()));
        self.command(scheme)
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--screenshot={}", file.display()))
            .arg(format!("file://{}", self.place.join(format!("{name}.html")).display()))
            .read()?;
        let picture = fs::read(&file).with_context(|| format!("no {}", file.display()))?;
        // Eight bytes of signature, then the header's length, name, width and height (PNG specification, 11.2.2).
        let size = picture.get(16..24).map(|size| {
            let number = |at: usize| u32::from_be_bytes([size[at], size[at + 1], size[at + 2], size[at + 3]]);
            (number(0), number(4))
        });
        ensure!(size == Some((*width, *height)), "{} is {size:?}", file.display());
        Ok(())
    }
}
