import { chooseByKey } from './bucket.ts';

/** What is known of a request when an arm is chosen. */
export interface CanaryFacts {
  header(name: string): string | undefined;
  cookie(name: string): string | undefined;
  /** Whether the client's address is in a range. */
  isIn(range: string): boolean;
  readonly tier: string | undefined;
}

/** Sends some requests to an arm whatever the weights are. All conditions of a rule must hold. */
export interface CanaryRule {
  /** The arm. */
  readonly arm: string;
  /** Headers by name: a value, or `true` for any. @defaultValue none */
  readonly headers?: Readonly<Record<string, string | true>> | undefined;
  /** Cookies by name: a value, or `true` for any. @defaultValue none */
  readonly cookies?: Readonly<Record<string, string | true>> | undefined;
  /** Ranges such as `10.0.0.0/8`: the client's address is in one of them. @defaultValue any address */
  readonly ranges?: readonly string[] | undefined;
  /** What `tier` answers for the request is one of these. @defaultValue any */
  readonly tiers?: readonly string[] | undefined;
}

export type CanaryDecision = { readonly arm: string; readonly reason: 'rule' | 'weight' };

/**
 * Decides the arm of a request: the first rule whose conditions hold; else by the weights and the request's key. An arm
 * that has a weight of 0 is reached by rules only.
 */
export function decideArm(
  rules: readonly CanaryRule[],
  weights: ReadonlyMap<string, number>,
  facts: CanaryFacts,
  key: string,
): CanaryDecision | undefined {
  const rule = rules.find((each) => applies(each, facts));
  if (rule) return { arm: rule.arm, reason: 'rule' };
  const arm = chooseByKey(weights, key);
  return arm === undefined ? undefined : { arm, reason: 'weight' };
}

function applies({ headers = {}, cookies = {}, ranges, tiers }: CanaryRule, facts: CanaryFacts): boolean {
  return (
    Object.entries(headers).every(([name, wanted]) => matches(facts.header(name.toLowerCase()), wanted)) &&
    Object.entries(cookies).every(([name, wanted]) => matches(facts.cookie(name), wanted)) &&
    (ranges === undefined || ranges.some((range) => facts.isIn(range))) &&
    (tiers === undefined || (facts.tier !== undefined && tiers.includes(facts.tier)))
  );
}

function matches(value: string | undefined, wanted: string | true): boolean {
  return wanted === true ? value !== undefined : value === wanted;
}
