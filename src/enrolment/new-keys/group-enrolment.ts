import { Batcher, type BatchOutcome } from "../../lib/async/batcher.js";
import type { Outgoing, PublishingDatabase } from "../../outbox/outbox.js";
import { findMatchingHosts, type MachineDescription } from "../../store/enrolment/matching-hosts.js";
import { registrationLocks, tryRegistrationLocks } from "../../store/enrolment/registration-locks.js";
import { limitLockWaits, type Transaction } from "../../store/transaction.js";
import type { IdentifyingAddresses } from "../duplicates/identifying-addresses.js";
import type { EnrolmentEvents } from "../events.js";
import { LookAgain } from "../look-again.js";
import { countTags, type Enrolment, machineOf } from "./enrolment.js";
import { writeEnrolments } from "./write-enrolment.js";

const MAX_BATCH_ROWS = 50;
/** Locks, each of which takes a place in a table that all connections share, and tags. */
const MAX_BATCH_WEIGHT = 500;
/** For each row that another transaction holds: a batch must not stand still for somebody who edits a token. */
const MAX_LOCK_WAIT_MS = 1_000;

/** What {@link GroupEnrolment} needs. */
export interface GroupEnrolmentOptions extends PublishingDatabase {
  events: EnrolmentEvents;
  identifyingAddresses: IdentifyingAddresses;
}

/**
 * Group commit of enrolments: while one batch is written the next one fills. Only what is plainly new takes part, a key
 * and a machine that match nothing, also not each other. All else is left to whoever asked, to be decided about in a
 * transaction of its own; so is the whole batch when its writing fails.
 */
export class GroupEnrolment {
  readonly #batcher: Batcher<NewMachine, boolean>;

  constructor(private readonly options: GroupEnrolmentOptions) {
    this.#batcher = new Batcher({
      flush: (machines) => this.#flush(machines),
      maxItems: MAX_BATCH_ROWS,
      maxWeight: MAX_BATCH_WEIGHT,
    });
  }

  /**
   * Writes an enrolment of a key that no agent had, together with others.
   *
   * @returns false when it was not written, and is to be decided about by itself
   */
  enrol(enrolment: Enrolment): Promise<boolean> {
    const machine = machineOf(enrolment.key);
    const locks = registrationLocks(enrolment.key.registration.publicKey.pem, machine);
    return this.#batcher.add({ enrolment, machine, locks }, locks.length + countTags(enrolment.key));
  }

  async #flush(machines: readonly NewMachine[]): Promise<BatchOutcome<boolean>[]> {
    const { database, outbox, events, identifyingAddresses } = this.options;
    const independent = pickIndependent(machines);
    let written: readonly Enrolment[] = [];
    try {
      if (independent.length > 0) {
        written = await outbox.transaction(
          database,
          (tx, outgoing) => writeTogether(tx, outgoing, independent, identifyingAddresses),
          { keepsStatements: true },
        );
      }
    } catch (error) {
      // A token has fewer uses left than there are machines: one by one, the first ones get them.
      if (!(error instanceof LookAgain)) {
        events.groupFailed({ registrations: independent.length, error });
      }
    }
    return machines.map(({ enrolment }) => ({ done: written.includes(enrolment) }));
  }
}

/** A machine that is new as far as is known, with what is locked while it is written. */
interface NewMachine {
  enrolment: Enrolment;
  machine: MachineDescription;
  locks: readonly string[];
}

/** @returns those that were written; the others are being decided about elsewhere, match a host, or are known */
async function writeTogether(
  tx: Transaction,
  outgoing: Outgoing,
  machines: readonly NewMachine[],
  identifyingAddresses: IdentifyingAddresses,
): Promise<Enrolment[]> {
  await limitLockWaits(tx, MAX_LOCK_WAIT_MS);
  const held = await tryRegistrationLocks(
    tx,
    machines.flatMap(({ locks }) => locks),
  );
  const locked = machines.filter(({ locks }) => !locks.some((name) => held.has(name)));
  const matching = await findMatchingHosts(
    tx,
    locked.map(({ machine }) => machine),
    (addresses) => identifyingAddresses.pick(addresses),
  );
  const enrolments = locked.flatMap(({ enrolment }, index) => (matching[index]?.length === 0 ? [enrolment] : []));
  return enrolments.length === 0 ? [] : writeEnrolments(tx, outgoing, enrolments);
}

/** Those of which no two could be the same machine, or the same key: the first ones of those that could. */
function pickIndependent(machines: readonly NewMachine[]): NewMachine[] {
  const taken = new Set<string>();
  return machines.filter(({ locks }) => {
    if (locks.some((name) => taken.has(name))) return false;
    for (const name of locks) taken.add(name);
    return true;
  });
}
