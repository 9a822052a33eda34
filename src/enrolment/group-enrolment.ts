import type { ClientCertificates } from "../identity/client-certificates.js";
import { Batcher, type BatchOutcome } from "../lib/batcher.js";
import { createId } from "../lib/ids.js";
import { type Database, limitLockWaits, type Queryable } from "../store/database.js";
import { findMatchingHosts, type MachineDescription } from "../store/matching-hosts.js";
import { type RegistrationLock, registrationLocks, takeRegistrationLocks } from "../store/registration-locks.js";
import type { EnrolmentEvents } from "./events.js";
import { type Enrolment, KeyTaken, writeEnrolments } from "./new-enrolment.js";
import { machineOf, type NewKey } from "./new-key.js";
import { TokenUnusable } from "./token-check.js";

const MAX_BATCH_ROWS = 50;
/** Each takes a place in a table that all connections share. */
const MAX_BATCH_LOCKS = 500;
/** A batch waits for another instance's, and not for somebody who holds a token or a tag for longer. */
const MAX_LOCK_WAIT_MS = 1_000;

/** What {@link GroupEnrolment} needs. */
export interface GroupEnrolmentOptions {
  database: Database;
  clientCertificates: ClientCertificates;
  events: EnrolmentEvents;
}

/**
 * Group commit of enrolments: while one batch is written the next one fills. Only what is plainly new takes part, a key
 * and a machine that match nothing, also not each other. All else is left to whoever asked, to be decided about in a
 * transaction of its own; so is the whole batch when anything in it fails.
 */
export class GroupEnrolment {
  readonly #batcher: Batcher<NewMachine, Enrolment | undefined>;

  constructor(private readonly options: GroupEnrolmentOptions) {
    this.#batcher = new Batcher({
      flush: (machines) => this.#flush(machines),
      maxItems: MAX_BATCH_ROWS,
    });
  }

  /**
   * Enrols a key that no agent has, together with others.
   *
   * @returns undefined when nothing was written: it is to be enrolled by itself
   */
  async enrol(key: NewKey): Promise<Enrolment | undefined> {
    const identity = { agentId: createId(), organisationId: key.token.organisationId };
    // Signed before, though a machine that matches has no use for it: a transaction that signed fifty would hold its
    // locks for as long. Refusals are limited.
    const certificate = key.token.autoApprove
      ? await this.options.clientCertificates.issue(identity, key.registration.publicKey)
      : undefined;
    const machine = machineOf(key);
    const locks = registrationLocks(key.registration.publicKey.pem, machine);
    return this.#batcher.add({ enrolment: { ...key, identity, certificate }, machine, locks });
  }

  async #flush(machines: readonly NewMachine[]): Promise<BatchOutcome<Enrolment | undefined>[]> {
    const independent = pickIndependent(machines);
    let written: readonly Enrolment[] = [];
    try {
      written = await this.options.database.transaction((tx) => writeTogether(tx, independent));
    } catch (error) {
      const isSettledAlone = error instanceof KeyTaken || error instanceof TokenUnusable;
      if (!isSettledAlone) this.options.events.groupFailed({ registrations: independent.length, error });
    }
    return machines.map(({ enrolment }) => ({ done: written.includes(enrolment) ? enrolment : undefined }));
  }
}

/** A machine that is new as far as is known, with what is written of it and what is locked for that. */
interface NewMachine {
  enrolment: Enrolment;
  machine: MachineDescription;
  locks: readonly RegistrationLock[];
}

/** @returns those that were written; the others match a host */
async function writeTogether(tx: Queryable, machines: readonly NewMachine[]): Promise<Enrolment[]> {
  await limitLockWaits(tx, MAX_LOCK_WAIT_MS);
  await takeRegistrationLocks(
    tx,
    machines.flatMap(({ locks }) => locks),
  );
  const matching = await findMatchingHosts(
    tx,
    machines.map(({ machine }) => machine),
  );
  const enrolments = machines.flatMap(({ enrolment }, index) => (matching[index]?.length === 0 ? [enrolment] : []));
  if (enrolments.length > 0) await writeEnrolments(tx, enrolments);
  return enrolments;
}

/** Those of which no two could be the same machine, or the same key: the first ones of those that could. */
function pickIndependent(machines: readonly NewMachine[]): NewMachine[] {
  const held = new Map<string, RegistrationLock["mode"]>();
  return machines.filter(({ locks }) => {
    const isFree = locks.every(({ name, mode }) => {
      const holder = held.get(name);
      return holder === undefined || (holder === "shared" && mode === "shared");
    });
    if (!isFree || (held.size > 0 && held.size + locks.length > MAX_BATCH_LOCKS)) return false;
    for (const { name, mode } of locks) held.set(name, mode);
    return true;
  });
}
