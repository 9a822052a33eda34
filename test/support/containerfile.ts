import { readFile } from "node:fs/promises";

/** One instruction of a Containerfile, its continued lines joined. */
export interface Instruction {
  name: string;
  value: string;
}

/** A stage of a Containerfile. */
export interface Stage {
  name: string | undefined;
  instructions: Instruction[];
}

/** Reads the stages of a Containerfile. */
export async function readContainerfile(path: string): Promise<Stage[]> {
  const text = await readFile(path, "utf8");
  const lines = text
    .replace(/^\s*#.*\n/gm, "")
    .replace(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line.trim() !== "");
  const stages: Stage[] = [];
  for (const line of lines) {
    const [, name, value] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error(`not an instruction: ${line}`);
    if (name === "FROM") stages.push({ name: / AS (\S+)$/.exec(value)?.[1], instructions: [] });
    else stages.at(-1)?.instructions.push({ name, value });
  }
  return stages;
}

/** The values of an instruction in a stage, in their order. */
export function valuesOf({ instructions }: Stage, name: string): string[] {
  return instructions.filter((instruction) => instruction.name === name).map(({ value }) => value);
}

/** A `COPY`. */
export interface Copy {
  from: string | undefined;
  sources: string[];
  target: string;
}

/** The files that a stage copies. */
export function copiesOf(stage: Stage): Copy[] {
  return valuesOf(stage, "COPY").map((value) => {
    const words = value.split(" ");
    const paths = words.filter((word) => !word.startsWith("--"));
    return {
      from: words.find((word) => word.startsWith("--from="))?.slice("--from=".length),
      sources: paths.slice(0, -1),
      target: paths.at(-1) as string,
    };
  });
}
