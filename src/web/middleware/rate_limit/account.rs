//! What the core that owns a key knows of it: tokens granted in each slot of the window. No clock, no messages.
//!
//! A window is cut into [`SLOTS`] slots. An interval as long as the window touches at most one slot more, so the sum
//! over `SLOTS + 1` slots in a row is what the limit holds: a token comes back when the slot it was granted in is
//! `SLOTS + 1` slots ago, up to one slot later than it would have to.
#![forbid(unsafe_code)]

/// Slots of a window: tokens come back up to a sixteenth of it late, for 4 bytes each.
pub(super) const SLOTS: u64 = 16;

const RING: usize = 17;

const _: () = assert!(RING as u64 == SLOTS + 1, "an interval touches one slot more than a window has");

/// The number of a slot on the clock that all cores share.
pub(super) type Slot = u64;

/// One key's tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Tokens granted by slot number modulo the ring.
    granted: [u32; RING],
    /// The slot up to which the ring is right.
    newest: Slot,
    /// The sum of `granted`.
    taken: u32,
}

/// A core's request for tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) want: u32,
    /// Tokens of an earlier grant that were not used.
    pub(super) unused: Option<(Slot, u32)>,
    /// The most to be granted, as a divisor of what is left: other cores will ask too.
    pub(super) share: u32,
}

/// What a core is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// 0: none are left.
    pub(super) tokens: u32,
    /// The slot in which they are to be used.
    pub(super) slot: Slot,
    /// Tokens that are left for others.
    pub(super) left: u32,
    /// The slot in which the first tokens come back.
    pub(super) back: Slot,
}

impl Account {
    /// Grants tokens in `now`: 1 at least if there is one.
    pub(super) fn ask(&mut self, limit: u32, now: Slot, ask: &Ask) -> Grant {
        self.advance(now);
        if let Some((slot, tokens)) = ask.unused {
            self.give_back(slot, tokens);
        }
        let left = limit.saturating_sub(self.taken);
        let tokens = ask.want.min((left / ask.share.max(1)).max(1)).min(left);
        self.granted[place(self.newest)] += tokens;
        self.taken += tokens;
        Grant { tokens, slot: self.newest, left: left - tokens, back: self.first_back() }
    }

    /// Lets slots go that are out of the window. A clock that is behind changes nothing.
    fn advance(&mut self, now: Slot) {
        if now >= self.newest.saturating_add(RING as u64) {
            *self = Self { newest: now, ..Self::default() };
        }
        while self.newest < now {
            self.newest += 1;
            self.taken -= std::mem::take(&mut self.granted[place(self.newest)]);
        }
    }

    fn give_back(&mut self, slot: Slot, tokens: u32) {
        if slot <= self.newest && self.newest - slot < RING as u64 {
            let granted = &mut self.granted[place(slot)];
            let tokens = tokens.min(*granted);
            *granted -= tokens;
            self.taken -= tokens;
        }
    }

    fn first_back(&self) -> Slot {
        let oldest = (self.newest + 1).saturating_sub(RING as u64);
        let first = (oldest..=self.newest).find(|&slot| self.granted[place(slot)] > 0);
        first.unwrap_or(self.newest) + RING as u64
    }
}

fn place(slot: Slot) -> usize {
    usize::try_from(slot % RING as u64).expect("smaller than the ring")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 50;

    fn one(account: &mut Account, now: Slot) -> Grant {
        account.ask(LIMIT, now, &Ask { want: 1, unused: None, share: 1 })
    }

    #[test]
    fn tokens_come_back_behind_the_window() {
        let mut account = Account::default();
        let granted = (0..60).filter(|_| one(&mut account, 100).tokens == 1).count();
        assert_eq!(granted, 50);
        let refused = one(&mut account, 100 + SLOTS);
        assert_eq!((refused.tokens, refused.left, refused.back), (0, 0, 101 + SLOTS));
        assert_eq!(one(&mut account, refused.back).tokens, 1);
    }

    #[test]
    fn a_share_of_what_is_left_is_granted_and_one_at_least() {
        let mut account = Account::default();
        let mut ask = |want| account.ask(LIMIT, 7, &Ask { want, unused: None, share: 4 }).tokens;
        assert_eq!((ask(100), ask(2), ask(100)), (12, 2, 9));
        let mut rest = 0;
        while ask(100) > 0 {
            rest += 1;
        }
        assert!(rest > 8, "the last ones are granted one by one: {rest}");
    }

    #[test]
    fn what_is_given_back_can_be_granted_again_but_once() {
        let mut account = Account::default();
        let ask = |want, unused| Ask { want, unused, share: 1 };
        assert_eq!(account.ask(LIMIT, 5, &ask(50, None)).tokens, 50);
        assert_eq!(account.ask(LIMIT, 6, &ask(50, Some((5, 20)))).tokens, 20);
        assert_eq!(
            account.ask(LIMIT, 6, &ask(50, Some((5, 1000)))).tokens,
            30,
            "no more than was granted then"
        );
        assert_eq!(account.ask(LIMIT, 6, &ask(50, Some((9, 5)))).tokens, 0, "a slot that has not been");
        assert_eq!(account.ask(LIMIT, 5 + 17, &ask(0, Some((5, 5)))).left, 0, "a slot that is long gone");
    }

    /// Whatever is asked when, no window has more than the limit.
    #[test]
    fn no_window_has_more_than_the_limit() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let (mut account, mut now, mut used) = (Account::default(), 1000, vec![0_u32; 3000]);
        let mut unused = None;
        for _ in 0..5000 {
            now += if random(4) == 0 { random(3) } else { 0 };
            if random(200) == 0 {
                now += random(40);
            }
            let want = u32::try_from(random(20)).unwrap() + 1;
            let grant = account.ask(LIMIT, now, &Ask { want, unused: unused.take(), share: 2 });
            let spent = u32::try_from(random(u64::from(grant.tokens) + 1)).unwrap();
            if now >= 3000 {
                break;
            }
            used[usize::try_from(grant.slot).unwrap()] += spent;
            // Half of what is unused is never given back.
            unused = (random(2) == 0).then_some((grant.slot, grant.tokens - spent));
        }
        let most = used.windows(RING).map(|window| window.iter().sum::<u32>()).max().unwrap();
        assert!(most <= LIMIT && most > LIMIT / 2, "{most}");
    }
}
