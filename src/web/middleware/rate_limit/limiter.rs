//! One core's part of a limit: the accounts of the keys it owns, and the tokens that other cores have lent it.
//!
//! A key belongs to one core. Others ask it for tokens, one at first, twice as many whenever a lease was used up within
//! its slot; what was not used then is told with the next ask. So a busy key costs a message per lease, and no core
//! sits on more tokens than it has used in the same slot.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringhttp_runtime::time::Instant;
use ringhttp_runtime::{Core, InvokeError};

use super::account::{Account, Ask, Grant, SLOTS, Slot};
use super::recent::Recent;
use super::{Key, Policy};

/// What the cores of a run hash keys with: nobody outside can choose whose key is whose.
#[derive(Default)]
pub(super) struct Secret([RandomState; 2]);

/// One core's part of the limits of one policy.
pub(super) struct Limiter {
    core: Core,
    policy: Arc<Policy>,
    secret: Arc<Secret>,
    accounts: RefCell<Recent<Account>>,
    leases: RefCell<Recent<Lease>>,
}

/// What a core has of a key that belongs to another.
#[derive(Debug, Default)]
struct Lease {
    tokens: u32,
    /// The slot they are for.
    slot: Slot,
    /// How many there were.
    size: u32,
    /// What the owner said last.
    left: u32,
    back: Slot,
    /// None are left until `back`.
    denied: bool,
}

/// Whether a request may go on, and what its client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) admitted: bool,
    /// Requests that are left, as far as this core knows.
    pub(super) left: u32,
    /// When some come back.
    pub(super) reset: Duration,
}

type Limiters = HashMap<(usize, Arc<Policy>), Rc<Limiter>>;

thread_local! {
    /// By run and policy. Routers of one core that use the same policy share its counts; messages find them here.
    static LIMITERS: RefCell<Limiters> = RefCell::default();
}

impl Limiter {
    /// This core's part, made when it is first asked for.
    pub(super) fn of(core: &Core, policy: &Arc<Policy>) -> Rc<Self> {
        let secret = core.shared::<Secret>();
        let key = (Arc::as_ptr(&secret).addr(), Arc::clone(policy));
        LIMITERS.with_borrow_mut(|limiters| {
            let limiter = limiters.entry(key).or_insert_with(|| {
                Rc::new(Self {
                    core: core.clone(),
                    policy: Arc::clone(policy),
                    secret,
                    accounts: RefCell::new(Recent::new(policy.keys_max)),
                    leases: RefCell::new(Recent::new(policy.keys_max)),
                })
            });
            Rc::clone(limiter)
        })
    }

    pub(super) fn key(&self, text: impl Hash) -> Key {
        let [high, low] = &self.secret.0;
        Key((u128::from(high.hash_one(&text)) << 64) | u128::from(low.hash_one(&text)))
    }

    /// Takes a token of a key.
    ///
    /// # Errors
    /// If the key's core has too many messages waiting.
    ///
    /// # Cancellation
    /// The token is taken all the same.
    pub(super) async fn admit(self: &Rc<Self>, key: Key) -> Result<Verdict, InvokeError> {
        let owner = key.owner(self.core.count());
        if owner == self.core.id() {
            return Ok(self.admit_here(key));
        }
        let ask = match self.try_lease(key) {
            Ok(verdict) => return Ok(verdict),
            Err(ask) => ask,
        };
        let limiter = Rc::clone(self);
        // A task of its own, so that a client that goes away takes no more than its own token with it.
        let asking = self.core.spawn("rate limit", async move { limiter.ask_owner(owner, key, ask).await });
        match asking.await {
            Ok(Err(InvokeError::Full)) => Err(InvokeError::Full),
            Ok(Ok(verdict)) => Ok(verdict),
            // The owner has ended: the run stops, and each core that is left counts by itself.
            Ok(Err(_)) | Err(_) => Ok(self.admit_here(key)),
        }
    }

    fn admit_here(&self, key: Key) -> Verdict {
        let grant = self.grant(key, &Ask { want: 1, unused: None, share: 1 });
        self.verdict(grant.tokens > 0, grant.left, grant.back)
    }

    /// Tokens of a key that this core owns.
    fn grant(&self, key: Key, ask: &Ask) -> Grant {
        let slot = self.slot();
        let mut accounts = self.accounts.borrow_mut();
        accounts.get_or_insert_with(key, Account::default).ask(self.policy.limit, slot, ask)
    }

    /// Decides by the lease, or says what to ask for.
    fn try_lease(&self, key: Key) -> Result<Verdict, Ask> {
        let now = self.slot();
        let mut leases = self.leases.borrow_mut();
        let lease = leases.get_or_insert_with(key, Lease::default);
        if lease.denied && now < lease.back {
            return Ok(self.verdict(false, 0, lease.back));
        }
        let is_of_now = lease.slot == now;
        if is_of_now && lease.tokens > 0 {
            lease.tokens -= 1;
            return Ok(self.verdict(true, lease.left + lease.tokens, lease.back));
        }
        let want = if is_of_now { (lease.size * 2).clamp(1, self.policy.lease_max) } else { 1 };
        let unused = Some((lease.slot, lease.tokens)).filter(|(_, tokens)| *tokens > 0);
        lease.tokens = 0;
        let cores = u32::try_from(self.core.count()).unwrap_or(u32::MAX);
        Err(Ask { want, unused, share: cores.saturating_mul(2) })
    }

    async fn ask_owner(&self, owner: usize, key: Key, ask: Ask) -> Result<Verdict, InvokeError> {
        let policy = Arc::clone(&self.policy);
        let call = async move |there: Core| Self::of(&there, &policy).grant(key, &ask);
        let grant = self.core.invoke_on(owner, call).await?;
        let mut leases = self.leases.borrow_mut();
        leases.get_or_insert_with(key, Lease::default).add(&grant);
        Ok(self.verdict(grant.tokens > 0, grant.left + grant.tokens.saturating_sub(1), grant.back))
    }

    fn verdict(&self, admitted: bool, left: u32, back: Slot) -> Verdict {
        let back = Duration::from_millis(back.saturating_mul(self.policy.slot_millis()));
        let now = self.core.timers().now() - Instant::default();
        Verdict { admitted, left, reset: back.saturating_sub(now) }
    }

    /// The slot of now. All cores count them from the same moment, that of the system's clock.
    fn slot(&self) -> Slot {
        let now = (self.core.timers().now() - Instant::default()).as_millis();
        u64::try_from(now).unwrap_or(u64::MAX) / self.policy.slot_millis()
    }
}

impl Lease {
    /// Adds what was granted, but for the token of who asked.
    fn add(&mut self, grant: &Grant) {
        if grant.slot < self.slot {
            return;
        }
        if grant.slot > self.slot {
            (self.tokens, self.size) = (0, 0);
        }
        self.slot = grant.slot;
        self.tokens += grant.tokens.saturating_sub(1);
        self.size = self.size.max(grant.tokens);
        (self.left, self.back) = (grant.left, grant.back);
        self.denied = grant.tokens == 0 && self.tokens == 0;
    }
}

impl Policy {
    /// The length of a slot, such that all of them are no shorter than the window.
    fn slot_millis(&self) -> u64 {
        u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX).div_ceil(SLOTS).max(1)
    }
}
