// The type of a value, exactly: `same<string>()(value)` refuses `any`, a wider type and a narrower one.
export declare function same<Expected>(): <Actual>(
  value: Actual,
  ...wrong: (<T>() => T extends Actual ? 1 : 2) extends <T>() => T extends Expected ? 1 : 2 ? [] : [never]
) => void;
