//! Which CPU each core runs on. Owns the reading of the affinity mask and the pinning of threads.
#![forbid(unsafe_code)]

use std::io;
use std::num::NonZero;

use core_affinity::CoreId;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::config::{Cores, RuntimeConfig};
use crate::error::RunError;

/// The cores of a run: for each, the CPU it is pinned to, or `None` where it may roam.
pub(crate) fn choose_cpus(config: &RuntimeConfig) -> Result<Vec<Option<usize>>, RunError> {
    let mask = affinity_mask()?;
    let parallelism = std::thread::available_parallelism().map_or(1, NonZero::get);
    let cpus = place(&config.cores, &mask, parallelism)?;
    Ok(if config.pin { cpus } else { vec![None; cpus.len()] })
}

/// Pins the calling thread.
pub(crate) fn pin_current(cpu: usize) -> io::Result<()> {
    if core_affinity::set_for_current(CoreId { id: cpu }) {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// The affinity of the thread that starts a run, for threads that pinned ones start later.
#[derive(Clone)]
pub(crate) struct Unpinned(Option<CpuSet>);

impl Unpinned {
    pub(crate) fn of_current() -> Self {
        Self(sched_getaffinity(None).ok())
    }

    /// Lets the calling thread run where the run's starter could; a refusal leaves it where it is, which is only slower.
    pub(crate) fn apply(&self) {
        if let Some(set) = &self.0 {
            let _ = sched_setaffinity(None, set);
        }
    }
}

fn affinity_mask() -> Result<Vec<usize>, RunError> {
    let mask: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    if mask.is_empty() {
        return Err(RunError::config("cores", "the affinity mask of this thread cannot be read"));
    }
    Ok(mask)
}

fn place(cores: &Cores, mask: &[usize], parallelism: usize) -> Result<Vec<Option<usize>>, RunError> {
    match cores {
        // A quota is time on any CPU of the mask: all containers of a machine would be pinned to its first ones.
        Cores::Auto if parallelism < mask.len() => Ok(vec![None; parallelism.max(1)]),
        Cores::Auto => Ok(mask.iter().copied().map(Some).collect()),
        Cores::Count(0) => Err(RunError::config("cores", "a count of 0")),
        Cores::Count(count) if *count > CORES_MAX => {
            Err(RunError::config("cores", format!("a count of {count}, the most is {CORES_MAX}")))
        }
        Cores::Count(count) if *count > mask.len() => Ok(vec![None; *count]),
        Cores::Count(count) => Ok(mask.iter().take(*count).copied().map(Some).collect()),
        Cores::List(list) => {
            check_list(list, mask)?;
            Ok(list.iter().copied().map(Some).collect())
        }
    }
}

fn check_list(list: &[usize], mask: &[usize]) -> Result<(), RunError> {
    if list.is_empty() {
        return Err(RunError::config("cores", "an empty list"));
    }
    for (index, cpu) in list.iter().enumerate() {
        if !mask.contains(cpu) {
            return Err(RunError::config("cores", format!("CPU {cpu} is not in the affinity mask {mask:?}")));
        }
        if list[..index].contains(cpu) {
            return Err(RunError::config("cores", format!("CPU {cpu} is listed twice")));
        }
    }
    Ok(())
}

// As many CPUs as a kernel's default affinity mask can name.
const CORES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_placed_inside_the_mask() {
        let mask = [2, 3, 5, 7];
        let some = |cpus: &[usize]| Some(cpus.iter().copied().map(Some).collect::<Vec<_>>());
        type Placed = Option<Vec<Option<usize>>>;
        let cases: &[(Cores, usize, Placed)] = &[
            (Cores::Auto, 8, some(&[2, 3, 5, 7])),
            (Cores::Auto, 4, some(&[2, 3, 5, 7])),
            (Cores::Auto, 2, Some(vec![None; 2])),
            (Cores::Auto, 0, Some(vec![None; 1])),
            (Cores::Count(3), 1, some(&[2, 3, 5])),
            (Cores::Count(5), 4, Some(vec![None; 5])),
            (Cores::Count(0), 4, None),
            (Cores::Count(1025), 4, None),
            (Cores::List(vec![7, 2]), 1, some(&[7, 2])),
            (Cores::List(vec![4]), 4, None),
            (Cores::List(vec![2, 2]), 4, None),
            (Cores::List(vec![]), 4, None),
        ];
        for (cores, parallelism, expected) in cases {
            assert_eq!(place(cores, &mask, *parallelism).ok(), *expected, "{cores:?} of {parallelism}");
        }
    }

    #[test]
    fn a_cpu_outside_the_mask_is_named() {
        let error = place(&Cores::List(vec![4]), &[2, 3], 2).unwrap_err().to_string();
        assert_eq!(error, "cores: CPU 4 is not in the affinity mask [2, 3]");
    }
}
