//! When a limit grows and when it shrinks: additive increase, multiplicative decrease (AIMD), as TCP's congestion avoidance has it
//! (RFC 5681 §3.1), with failures and slow answers in place of lost segments.
//!
//! There is no clock. A round is as many answers as the limit lets through, and what was begun before the limit last shrank says
//! nothing more about it: a burst of failures is one.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::AdaptiveLimit;

/// The limit of one server, and what it is judged by.
#[derive(Debug)]
pub(super) struct Rule {
    limit: usize,
    /// How often it shrank.
    epoch: u64,
    /// It has not shrunk since it began, or since at `min` something else was learnt to be usual.
    is_starting: bool,
    round: Round,
    /// How long a first byte takes, smoothed.
    usual: Option<Duration>,
}

/// What was seen since the limit last changed, or since as many answers came as it lets through.
#[derive(Debug, Default)]
struct Round {
    answers: u32,
    slow: u32,
    /// Of first bytes; those of slow answers count as if they were just not slow.
    sum: Duration,
    /// The limit was reached: only then its growing would change anything.
    was_full: bool,
}

/// How a request went.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sample {
    /// It was answered, with its first byte after so long.
    Answer(Duration),
    Failure,
    /// It had no more time, with no answer after so long: a failure if that would have been a slow one.
    GivenUp(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Raised,
    Lowered,
}

impl Rule {
    pub(super) fn new(config: &AdaptiveLimit) -> Self {
        Self { limit: config.initial, epoch: 0, is_starting: true, round: Round::default(), usual: None }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn usual(&self) -> Option<Duration> {
        self.usual
    }

    /// A request begins, with so many under way: gives what it is to be noted with.
    pub(super) fn begin(&mut self, in_flight: usize) -> u64 {
        self.round.was_full |= in_flight >= self.limit;
        self.epoch
    }

    /// A request has ended that began in `epoch`.
    pub(super) fn note(&mut self, config: &AdaptiveLimit, epoch: u64, sample: Sample) -> Option<Change> {
        if epoch != self.epoch {
            return None;
        }
        match sample {
            Sample::Answer(first_byte) => self.note_answer(config, first_byte),
            Sample::Failure => self.shrink(config),
            Sample::GivenUp(elapsed) if elapsed > self.slow_above(config) => self.shrink(config),
            Sample::GivenUp(_) => None,
        }
    }

    fn note_answer(&mut self, config: &AdaptiveLimit, first_byte: Duration) -> Option<Change> {
        let slow_above = self.usual.map_or(Duration::MAX, |_| self.slow_above(config));
        self.round.answers += 1;
        self.round.slow += u32::from(first_byte > slow_above);
        self.round.sum = self.round.sum.saturating_add(first_byte.min(slow_above));
        if (self.round.answers as usize) < self.limit.max(ROUND_MIN) {
            return None;
        }
        let Round { answers, slow, sum, was_full } = std::mem::take(&mut self.round);
        self.learn(config, sum / answers, was_full);
        // As good as the median: neither one that takes long by nature nor one that takes none says much.
        if slow * 2 > answers {
            return self.shrink(config);
        }
        if was_full { self.grow(config) } else { None }
    }

    /// The longest that a first byte may take.
    fn slow_above(&self, config: &AdaptiveLimit) -> Duration {
        let usual = self.usual.unwrap_or_default();
        let times = usual.as_secs_f64() * config.latency_ratio_max;
        let times = Duration::try_from_secs_f64(times).unwrap_or(Duration::MAX);
        times.max(usual.saturating_add(config.latency_slack))
    }

    /// Takes the mean of a round into what is usual. Where the limit was reached it may be the limit that makes answers late, so from that
    /// nothing is learnt but that they can be quicker: what is usual would creep up with a limit that is too high.
    fn learn(&mut self, config: &AdaptiveLimit, mean: Duration, was_full: bool) {
        let Some(usual) = self.usual else {
            self.usual = Some(mean);
            return;
        };
        self.usual = Some(match mean.checked_sub(usual) {
            None => usual - (usual - mean) / 4,
            // Fewer cannot be under way: that is how the server is now, and how much it bears is to be found out anew.
            Some(more) if self.limit <= config.min => {
                self.is_starting |= !more.is_zero() && more >= config.latency_slack;
                usual + more / 2
            }
            Some(more) if !was_full => usual + more / 16,
            Some(_) => usual,
        });
    }

    fn grow(&mut self, config: &AdaptiveLimit) -> Option<Change> {
        let limit = if self.is_starting { self.limit.saturating_mul(2) } else { self.limit + 1 };
        let limit = limit.min(config.max);
        (limit > std::mem::replace(&mut self.limit, limit)).then_some(Change::Raised)
    }

    fn shrink(&mut self, config: &AdaptiveLimit) -> Option<Change> {
        self.epoch += 1;
        self.round = Round::default();
        let ratio = if self.is_starting { config.backoff_ratio.min(0.5) } else { config.backoff_ratio };
        self.is_starting &= self.limit <= config.min;
        let limit = part_of(self.limit, ratio).min(self.limit - 1).max(config.min);
        (limit < std::mem::replace(&mut self.limit, limit)).then_some(Change::Lowered)
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a number of requests is one"
)]
fn part_of(limit: usize, ratio: f64) -> usize {
    (limit as f64 * ratio) as usize
}

/// Answers below which a round says too little.
const ROUND_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rule(change: impl FnOnce(&mut AdaptiveLimit)) -> (AdaptiveLimit, Rule) {
        let mut config = AdaptiveLimit::default();
        config.initial = 4;
        change(&mut config);
        config.check().expect("it can work");
        let rule = Rule::new(&config);
        (config, rule)
    }

    /// A round at the limit whose answers take so long.
    fn round(config: &AdaptiveLimit, rule: &mut Rule, first_byte: Duration) -> Option<Change> {
        let count = rule.limit().max(ROUND_MIN);
        let epochs: Vec<_> = (0..count).map(|number| rule.begin(number + 1)).collect();
        let noted = epochs.into_iter().map(|epoch| rule.note(config, epoch, Sample::Answer(first_byte)));
        noted.last().flatten()
    }

    fn fail(config: &AdaptiveLimit, rule: &mut Rule) -> usize {
        let epoch = rule.begin(1);
        rule.note(config, epoch, Sample::Failure);
        rule.limit()
    }

    #[test]
    fn it_doubles_until_it_first_shrinks_then_grows_by_one() {
        let (config, mut rule) = rule(|config| config.max = 33);
        let mut limits = Vec::new();
        for _ in 0..4 {
            assert_eq!(round(&config, &mut rule, 5 * MS), Some(Change::Raised));
            limits.push(rule.limit());
        }
        assert_eq!(limits, [8, 16, 32, 33]);
        assert_eq!(round(&config, &mut rule, 5 * MS), None, "no more than max");
        assert_eq!(fail(&config, &mut rule), 16, "half, the first time");
        assert_eq!(fail(&config, &mut rule), 14);
        for limit in 15..=33 {
            round(&config, &mut rule, 5 * MS);
            assert_eq!(rule.limit(), limit);
        }
        for _ in 0..100 {
            fail(&config, &mut rule);
        }
        assert_eq!(rule.limit(), 1, "no less than min");
        assert_eq!(fail(&config, &mut rule), 1);
    }

    #[test]
    fn a_burst_of_failures_is_one() {
        let (config, mut rule) = rule(|config| config.initial = 100);
        let epochs: Vec<_> = (1..=100).map(|number| rule.begin(number)).collect();
        let changes = epochs.iter().filter(|epoch| rule.note(&config, **epoch, Sample::Failure).is_some());
        assert_eq!((changes.count(), rule.limit()), (1, 50));
        // Nor do answers to what was begun before let it grow.
        for epoch in epochs {
            assert_eq!(rule.note(&config, epoch, Sample::Answer(MS)), None);
        }
        assert_eq!(fail(&config, &mut rule), 45);
    }

    #[test]
    fn a_limit_that_is_not_reached_does_not_grow() {
        let (config, mut rule) = rule(|_| {});
        for _ in 0..100 {
            let epoch = rule.begin(3);
            assert_eq!(rule.note(&config, epoch, Sample::Answer(MS)), None);
        }
        assert_eq!(rule.limit(), 4);
    }

    #[test]
    fn answers_are_slow_by_far_and_mostly() {
        let (config, mut rule) = rule(|config| config.latency_slack = Duration::ZERO);
        round(&config, &mut rule, 10 * MS);
        assert_eq!((rule.usual(), rule.limit()), (Some(10 * MS), 8));
        for (slow, expected) in [(4, 16), (9, 8)] {
            let epochs: Vec<_> = (1..=rule.limit()).map(|number| rule.begin(number)).collect();
            for (number, epoch) in epochs.into_iter().enumerate() {
                let first_byte = if number < slow { 60_000 * MS } else { 10 * MS };
                rule.note(&config, epoch, Sample::Answer(first_byte));
            }
            assert_eq!(rule.limit(), expected, "{slow} slow");
        }
        // As quick as usual, but for what is due to chance.
        let (config, mut rule) = self::rule(|_| {});
        round(&config, &mut rule, MS);
        assert_eq!(round(&config, &mut rule, 10 * MS), Some(Change::Raised));
        assert_eq!(round(&config, &mut rule, 15 * MS), Some(Change::Lowered));
    }

    #[test]
    fn what_is_usual_follows_a_server_that_is_slower_for_good() {
        let (config, mut rule) = rule(|_| {});
        for _ in 0..5 {
            round(&config, &mut rule, 10 * MS);
        }
        let before = rule.limit();
        let rounds = (0..1000).take_while(|_| {
            round(&config, &mut rule, 200 * MS);
            rule.limit() < before
        });
        assert!(rounds.count() < 100, "{rule:?}");
        let usual = rule.usual().expect("it is known");
        assert!(usual > 100 * MS, "{usual:?}");
        // And back, faster.
        for _ in 0..20 {
            round(&config, &mut rule, 10 * MS);
        }
        assert!(rule.usual().expect("it is known") < 11 * MS);
    }

    #[test]
    fn a_request_that_had_no_time_says_nothing() {
        let (config, mut rule) = rule(|_| {});
        round(&config, &mut rule, 100 * MS);
        let epoch = rule.begin(1);
        assert_eq!(rule.note(&config, epoch, Sample::GivenUp(150 * MS)), None);
        assert_eq!(rule.note(&config, epoch, Sample::GivenUp(250 * MS)), Some(Change::Lowered));
        let (mut config, mut rule) = self::rule(|_| {});
        config.latency_ratio_max = f64::INFINITY;
        for first_byte in [MS, Duration::MAX, MS] {
            round(&config, &mut rule, first_byte);
        }
        assert_eq!(rule.limit(), 32, "times are not looked at");
    }

    /// A server that is asked as much as the limit allows, in time that is reckoned: gives the limit after each answer.
    fn simulate(
        config: &AdaptiveLimit,
        answers: usize,
        serve: impl Fn(usize) -> Result<u64, u64>,
    ) -> Vec<usize> {
        let mut rule = Rule::new(config);
        let mut under_way = BinaryHeap::new();
        let (mut now, mut limits) = (0, Vec::new());
        while limits.len() < answers {
            while under_way.len() < rule.limit() {
                let number = under_way.len() + 1;
                let epoch = rule.begin(number);
                let (Ok(takes) | Err(takes)) = serve(number);
                under_way.push(Reverse((now + takes, serve(number).is_ok(), takes, epoch)));
            }
            let Some(Reverse((at, is_ok, takes, epoch))) = under_way.pop() else { break };
            now = at;
            let sample = if is_ok { Sample::Answer(Duration::from_micros(takes)) } else { Sample::Failure };
            rule.note(config, epoch, sample);
            limits.push(rule.limit());
        }
        limits
    }

    fn mean(limits: &[usize]) -> usize {
        limits.iter().sum::<usize>() / limits.len()
    }

    #[test]
    fn it_settles_near_what_a_server_bears() {
        for bears in [3, 10, 40, 120] {
            let config = AdaptiveLimit::default();
            // Refuses at once what is too much; becomes five times as slow; is slower the more it is asked.
            let refusing = |number| if number <= bears { Ok(20_000) } else { Err(1_000) };
            let slow = |number| Ok(if number <= bears { 20_000 } else { 100_000 });
            let sharing = |number: usize| Ok(20_000 * number.max(bears) as u64 / bears as u64);
            let settled = |limits: Vec<usize>| mean(&limits[limits.len() / 2..]);
            let found = settled(simulate(&config, 40_000, refusing));
            assert!(found * 10 >= bears * 7 && found <= bears + 2, "refusing: {found} of {bears}");
            let found = settled(simulate(&config, 40_000, slow));
            assert!(found * 10 >= bears * 6 && found <= bears * 3 / 2 + 2, "slow: {found} of {bears}");
            let found = settled(simulate(&config, 40_000, sharing));
            assert!(found * 10 >= bears * 8 && found <= bears * 3, "sharing: {found} of {bears}");
        }
    }
}
