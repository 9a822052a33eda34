import { z } from "zod";
import { type AmqpAddress, parseAmqpUrl } from "../lib/formats/amqp-url.js";
import { parseAddress, parseCidr } from "../lib/formats/cidr.js";
import { parseDurationMs } from "../lib/formats/duration.js";
import { parseOrigin } from "../lib/formats/origin.js";
import { parsePostgresUrl } from "../lib/formats/postgres-url.js";

// What kinds of values there are, each with what is told of one that is none.

/** Stands for every origin of this machine. */
export const LOOPBACK_ORIGINS = "loopback";
const LARGEST_PORT = 65_535;

/** Digits alone: what else JavaScript takes for a number (`1e3`, `0x10`) is more likely a mistake. */
export function wholeNumber(min: number, max: number, expected: string) {
  return z
    .string()
    .regex(/^\d+$/, { error: expected })
    .transform(Number)
    .pipe(z.number({ error: expected }).min(min, { error: expected }).max(max, { error: expected }));
}

/** A duration as commands take them too; what is read is in milliseconds. */
export function duration(minMs: number, maxMs: number, expected: string) {
  return z
    .string()
    .transform((text) => parseDurationMs(text) ?? Number.NaN)
    .pipe(z.number({ error: expected }).min(minMs, { error: expected }).max(maxMs, { error: expected }));
}

/** Of a listener. */
export const port = wholeNumber(0, LARGEST_PORT, `a port number from 0 to ${LARGEST_PORT} (0 = a free one)`);

/** As libpq reads it. */
export const postgresUrl = z.string({ error: "a postgres:// URL" }).superRefine((text, context) => {
  const result = parsePostgresUrl(text);
  for (const problem of "problems" in result ? result.problems : []) context.addIssue(problem);
});

/** Nodes of one broker, separated by commas. */
export const amqpUrls = z.string().transform((text, context) =>
  text.split(",").flatMap((url): AmqpAddress[] => {
    try {
      return [parseAmqpUrl(url.trim())];
    } catch (error) {
      context.addIssue({ code: "custom", message: (error as Error).message });
      return [];
    }
  }),
);

/** Ranges of addresses, separated by commas. */
export const cidrs = z
  .string()
  .transform((list) => list.split(",").map((range) => range.trim()))
  .refine((ranges) => ranges.every((range) => parseCidr(range) !== undefined), {
    error: "ranges in CIDR notation, separated by commas",
  });

/** Of this machine, to listen on. */
export const listenAddress = z
  .string()
  .transform((text) => parseAddress(text)?.toString())
  .refine((address) => address !== undefined, { error: "an IP address of this machine (:: or 0.0.0.0 for all)" });

/** Origins of pages, separated by commas; `loopback` is any of this machine. */
export const origins = z.string().transform((list, context) =>
  list.split(",").flatMap((part): string[] => {
    const origin = part.trim() === LOOPBACK_ORIGINS ? LOOPBACK_ORIGINS : parseOrigin(part.trim());
    if (origin !== undefined) return [origin];
    context.addIssue({
      code: "custom",
      message: `origins like https://tools.example.com, separated by commas, or ${LOOPBACK_ORIGINS}`,
    });
    return [];
  }),
);

/** A switch. */
export const trueOrFalse = z.enum(["true", "false"], { error: "true or false" });
