/** Loaded with `--import` before a service, this lets agents send as often as they like: a few saturate it. */
import { Pace } from "../../dist/lib/bounds/pace.js";

Pace.prototype.take = () => 0;
