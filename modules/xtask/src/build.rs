//! `cargo xtask build`: the multi-call binary `pve` that travels to the nodes: small, static, checked. A binary over
//! its budget is reported by the command; it can still be staged and tried.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::command::Cmd;
use crate::elf::Elf;
use crate::project::Project;
use crate::tool;

/// What the binary may weigh: 2.5 MB.
const BUDGET: usize = 2_500_000;

/// The target that rustc links with its own lld.
const LLD_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Functions of glibc that are linked though nothing of ours comes to them, and what stands in for them. Each pulls in
/// a part of libc that would travel to every node.
///
/// * The standard library asks where the stack ends, to tell an overflow from another bad access; glibc reads that with
///   scanf, which brings floating point and wide characters. `gtty` answers ENOSYS, and an overflow then ends in a plain
///   SIGSEGV.
/// * `strerror` looks into catalogues of translations, which brings character set conversion. Without `setlocale`, which
///   nothing calls, the locale is C, and the look ends before any of these.
/// * The end of a thread frees what its resolver holds, which brings the reading of resolv.conf. Names are asked of
///   `getent`, never of the resolver, and a link that has `getaddrinfo` in it fails below.
/// * `malloc_info` and `malloc_stats` print through stdio; nobody calls them, nor what a memory checker has libc free at
///   the end (`__libc_freeres`): translations, locales, converters.
/// * A panic prints its JSON object and aborts, and the tables for unwinding are left out: what would read them is of no use.
///   `_Unwind_Backtrace` finds nothing, as it would without the tables.
/// * Nothing here uses C's files: what is done about them when a program forks, begins a thread or ends, `NOTHING` does as well,
///   and what malloc would say through them before it aborts is not said. Only `strerror` formats, for an error that libc has no
///   name of: its text is empty then, and the number stands behind it as always.
/// * The standard library asks `dlsym` for functions that a static program has or has not; that it finds none is the case it
///   provides for. Without it nothing loads libraries, so where they are looked for does not matter.
/// * malloc takes two cores for granted where nobody tells how many there are; threads do without a name in ps.
const UNREACHED: &[(&[&str], &str)] = &[
    (&["pthread_getattr_np", "_Unwind_Backtrace"], "gtty"),
    (
        &[
            "strcasecmp",
            "strncasecmp",
            "__strcasecmp",
            "__strncasecmp",
            "__strcasecmp_l",
            "__strncasecmp_l",
            "_nl_find_domain",
            "_nl_find_msg",
            "_nl_unload_locale",
            "__gconv_open",
            "__gconv_find_transform",
            "__gconv_close_transform",
            "_IO_new_fclose",
        ],
        "abort",
    ),
    (&["_IO_cleanup", "_IO_enable_locks", "_IO_list_lock", "_IO_list_unlock", "_IO_list_resetlock"], NOTHING),
    (&["_IO_iter_begin", "_IO_iter_end", "__snprintf", "dlsym"], NOTHING),
    (&["_dl_init_paths", "__get_nprocs", "pthread_setname_np"], NOTHING),
    (
        &["_IO_iter_next", "_IO_iter_file", "_IO_fputs", "fwrite", "fprintf", "__asprintf", "__libc_dlclose"],
        "abort",
    ),
    (
        &["_nl_load_domain", "_nl_locale_subfreeres", "_nl_finddomain_subfreeres", "_nl_archive_subfreeres"],
        "abort",
    ),
    // A file, which only `fprintf` and `fwrite` would take.
    (&["stderr"], "environ"),
    // A table of functions for wide characters.
    (&["__wcsmbs_gconv_fcts_c"], "environ"),
    (&["__malloc_info", "__malloc_stats", "malloc_info", "malloc_stats", "__assert_fail"], "abort"),
    (&["__res_vinit", "__resolv_conf_load"], "abort"),
    (
        &[
            "_Unwind_FindEnclosingFunction",
            "_Unwind_GetCFA",
            "_Unwind_GetDataRelBase",
            "_Unwind_GetIP",
            "_Unwind_GetIPInfo",
            "_Unwind_GetLanguageSpecificData",
            "_Unwind_GetRegionStart",
            "_Unwind_GetTextRelBase",
            "_Unwind_Resume",
            "_Unwind_SetGR",
            "_Unwind_SetIP",
            "__gcc_personality_v0",
            "__pthread_unwind",
        ],
        "abort",
    ),
];

/// A function of glibc that does nothing and returns 0.
const NOTHING: &str = "pthread_getconcurrency";

/// A built and checked binary.
pub struct Binary {
    /// Where it is.
    pub path: PathBuf,
    /// `uname -m` of the machines it runs on.
    pub machine: &'static str,
    /// Its size in bytes.
    pub size: usize,
}

/// The command: `build [--target TRIPLE]`.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    let target = match args {
        [] => None,
        [flag, triple] if flag == "--target" => Some(triple.as_str()),
        _ => bail!("usage: cargo xtask build [--target TRIPLE]"),
    };
    let binary = build(project, target)?;
    println!(
        "{}: static, {}, {} bytes ({:.2} of {:.1} MB)",
        binary.path.display(),
        binary.machine,
        binary.size,
        binary.size as f64 / 1e6,
        BUDGET as f64 / 1e6,
    );
    check_size(binary.size)
}

/// Builds for a target, or for this machine, and checks what came out.
pub fn build(project: &Project, target: Option<&str>) -> Result<Binary> {
    tool::linker()?;
    let target = match target {
        Some(triple) => triple.to_owned(),
        None => host()?,
    };
    let libraries = Cmd::new("rustc").args(["--print", "target-libdir", "--target", &target]).read()?;
    if !PathBuf::from(libraries.trim()).is_dir() {
        bail!("rust's library for {target} is not installed: run `rustup target add {target}`");
    }
    Cmd::cargo()
        .args([
            "rustc",
            "--quiet",
            "--locked",
            "--package",
            "pve-modules",
            "--bin",
            "pve",
            "--profile",
            "small",
        ])
        .args(["--target", &target, "--"])
        .args(link_args(project, &target)?)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(project))
        .dir(project.root())
        .run()?;
    let path = project.cargo_target().join(&target).join("small/pve");
    let bytes = std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
    let elf = Elf::parse(&bytes).with_context(|| path.display().to_string())?;
    if !elf.is_static() {
        bail!("{} is not static: {elf:?}", path.display());
    }
    if asks_for_names(&bytes) {
        bail!("{} has glibc's look-up of names in it, which fails in a static program", path.display());
    }
    Ok(Binary { path, machine: elf.machine, size: bytes.len() })
}

/// Static, and the same bytes wherever the checkout and cargo's home are.
fn rustflags(project: &Project) -> String {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| home + "/.cargo"));
    let mut flags = vec!["-C".to_owned(), "target-feature=+crt-static".to_owned()];
    flags.push(format!("--remap-path-prefix={}=.", project.root().display()));
    // Without their second implementations for wide registers: they serve one small message a join.
    for choice in ["curve25519_dalek_backend=\"serial\"", "poly1305_force_soft"] {
        flags.extend(["--cfg".to_owned(), choice.to_owned()]);
    }
    flags.extend(home.map(|home| format!("--remap-path-prefix={home}=cargo")));
    flags.join("\u{1f}")
}

/// What makes the binary smaller while it is linked. Only lld takes all of it: rustc's own linker for this target
/// since 1.90. Elsewhere the binary is as good, and larger.
fn link_args(project: &Project, target: &str) -> Result<Vec<String>> {
    let sysroot = Cmd::new("rustc").args(["--print", "sysroot"]).read()?;
    let lld = PathBuf::from(sysroot.trim()).join("lib/rustlib").join(target).join("bin/gcc-ld");
    if target != LLD_TARGET || !lld.is_dir() || minor(&Cmd::new("rustc").arg("--version").read()?) < Some(90)
    {
        return Ok(Vec::new());
    }
    let script = project.path("modules/pve-modules/no-unwinding.ld");
    let args = [
        "--icf=all".to_owned(),
        "-z,pack-relative-relocs".to_owned(),
        "--no-eh-frame-hdr".to_owned(),
        format!("-T,{}", script.display()),
    ];
    let unreached = UNREACHED
        .iter()
        .flat_map(|(names, instead)| names.iter().map(move |name| format!("--defsym={name}={instead}")));
    let args = args.into_iter().chain(unreached).map(|arg| format!("link-arg=-Wl,{arg}"));
    // Equal stretches of code become one function, too.
    let args =
        args.chain(["llvm-args=-enable-machine-outliner=always -machine-outliner-reruns=2".to_owned()]);
    Ok(args.flat_map(|arg| ["-C".to_owned(), arg]).collect())
}

/// The second number of a version such as `rustc 1.95.0 (…)`.
fn minor(version: &str) -> Option<u32> {
    version.split(['.', ' ']).nth(2)?.parse().ok()
}

/// Whether `getaddrinfo`, `getpwnam` or another of their kind is in the binary: they come with the file that says where to
/// look.
fn asks_for_names(binary: &[u8]) -> bool {
    const SOURCES: &[u8] = b"/etc/nsswitch.conf";
    binary.windows(SOURCES.len()).any(|window| window == SOURCES)
}

fn check_size(size: usize) -> Result<()> {
    if size > BUDGET {
        bail!(
            "the binary weighs {size} bytes, over the budget of {BUDGET}: see what grew with `cargo bloat`"
        );
    }
    Ok(())
}

fn host() -> Result<String> {
    let version = Cmd::new("rustc").arg("-vV").read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minor_version_is_read() {
        assert_eq!(minor("rustc 1.95.0 (59807616e 2026-04-14)"), Some(95));
        assert_eq!(minor("something else"), None);
    }

    #[test]
    fn a_look_up_of_names_is_seen() {
        assert!(asks_for_names(b"\0/etc/nsswitch.conf\0"));
        assert!(!asks_for_names(b"\0/etc/passwd\0"));
    }

    #[test]
    fn a_binary_over_the_budget_is_refused() {
        assert!(check_size(2_500_000).is_ok());
        assert!(check_size(2_500_001).is_err());
    }
}
