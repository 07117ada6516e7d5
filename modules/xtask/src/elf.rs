//! Reads from an ELF file what decides whether it runs anywhere: interpreter, needed libraries, machine.
//! Pure: bytes in, facts out.

use anyhow::{Context, Result, bail};

const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;

/// What a 64-bit little-endian ELF file asks of its host.
#[derive(Debug, PartialEq, Eq)]
pub struct Elf {
    /// `uname -m` of the machine it runs on.
    pub machine: &'static str,
    /// Whether it asks for a dynamic loader.
    pub has_interpreter: bool,
    /// How many shared libraries it asks for.
    pub needed: usize,
}

impl Elf {
    /// Whether it runs without anything of the host's.
    pub fn is_static(&self) -> bool {
        !self.has_interpreter && self.needed == 0
    }

    /// Reads the headers.
    pub fn parse(bytes: &[u8]) -> Result<Elf> {
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            bail!("not a 64-bit little-endian ELF file");
        }
        let machine = match number(bytes, 18, 2)? {
            62 => "x86_64",
            183 => "aarch64",
            other => bail!("machine type {other} is not known here: add it to elf.rs"),
        };
        let table = number(bytes, 32, 8)?;
        let (size, count) = (number(bytes, 54, 2)?, number(bytes, 56, 2)?);
        let mut elf = Elf { machine, has_interpreter: false, needed: 0 };
        for index in 0..count {
            let at = table + index * size;
            match number(bytes, at, 4)? as u32 {
                PT_INTERP => elf.has_interpreter = true,
                PT_DYNAMIC => {
                    elf.needed += count_needed(bytes, number(bytes, at + 8, 8)?, number(bytes, at + 32, 8)?)?
                }
                _ => {}
            }
        }
        Ok(elf)
    }
}

fn count_needed(bytes: &[u8], start: u64, size: u64) -> Result<usize> {
    let mut needed = 0;
    for at in (start..start.saturating_add(size)).step_by(16) {
        match number(bytes, at, 8)? {
            DT_NULL => break,
            DT_NEEDED => needed += 1,
            _ => {}
        }
    }
    Ok(needed)
}

fn number(bytes: &[u8], at: u64, width: u64) -> Result<u64> {
    let at = usize::try_from(at)?;
    let field = at.checked_add(width as usize).and_then(|end| bytes.get(at..end));
    let field = field.with_context(|| format!("ELF file ends before offset {at}"))?;
    Ok(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_dynamic_test_binary_is_told_from_a_static_one() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let elf = Elf::parse(&bytes).unwrap();
        assert!(elf.has_interpreter && elf.needed > 0 && !elf.is_static(), "{elf:?}");
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        assert!(Elf::parse(b"#!/bin/sh\n").is_err());
        assert!(Elf::parse(b"\x7fELF\x02\x01").is_err());
    }

    #[test]
    fn a_file_without_program_headers_is_static() {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18] = 62;
        assert_eq!(Elf::parse(&bytes).unwrap(), Elf { machine: "x86_64", has_interpreter: false, needed: 0 });
    }
}
