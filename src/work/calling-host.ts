import type { CallLabels } from "../observe/call-labels.js";
import type { WorkHost } from "../store/work/work-host.js";

/** A host that brings something back, and the call that it does so over. */
export interface CallingHost extends WorkHost {
  call?: CallLabels;
}
