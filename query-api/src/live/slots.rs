//! How many streams there may be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use uuid::Uuid;

/// The streams of this instance.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    most: usize,
    most_of_one: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_organization: HashMap<Uuid, usize>,
}

/// Why there is no room for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// This instance has as many as it may.
    Instance,
    /// The organization has.
    Organization,
}

/// Room for a stream of this instance, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    organization_id: Option<Uuid>,
}

impl Slots {
    /// Of `most` streams, and `most_of_one` organization.
    pub(crate) fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            most,
            most_of_one,
            taken: Arc::default(),
        }
    }

    /// Room for a stream of which it is not known yet whose it is.
    ///
    /// # Errors
    /// [`Full::Instance`].
    pub(crate) fn take(&self) -> Result<Slot, Full> {
        let mut taken = self.taken();
        if taken.all >= self.most {
            return Err(Full::Instance);
        }
        taken.all += 1;
        Ok(Slot {
            slots: self.clone(),
            organization_id: None,
        })
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Says whose it is, once.
    ///
    /// # Errors
    /// [`Full::Organization`].
    pub(crate) fn of(mut self, organization_id: Uuid) -> Result<Self, Full> {
        let mut taken = self.slots.taken();
        let count = taken.by_organization.entry(organization_id).or_default();
        if *count >= self.slots.most_of_one {
            return Err(Full::Organization);
        }
        *count += 1;
        drop(taken);
        self.organization_id = Some(organization_id);
        Ok(self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        taken.all -= 1;
        let Some(organization_id) = self.organization_id else {
            return;
        };
        if let Some(count) = taken.by_organization.get_mut(&organization_id) {
            *count -= 1;
            if *count == 0 {
                taken.by_organization.remove(&organization_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_may_be_taken_again() {
        let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let slots = Slots::new(3, 2);
        let first = slots.take().unwrap().of(ours).unwrap();
        let _second = slots.take().unwrap().of(ours).unwrap();
        let third = slots.take().unwrap().of(ours);
        assert_eq!(third.unwrap_err(), Full::Organization);
        let _other = slots.take().unwrap().of(theirs).unwrap();
        assert_eq!(slots.take().unwrap_err(), Full::Instance);
        drop(first);
        let _again = slots.take().unwrap().of(ours).unwrap();
        drop(slots.clone());
        assert_eq!(slots.taken().all, 3);
    }
}
