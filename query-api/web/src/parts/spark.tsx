// A curve the size of a word.

interface Props {
  values: readonly (number | null)[];
  color: string;
}

const WIDTH = 120;
const HEIGHT = 26;

export function Spark({ values, color }: Props) {
  const most = Math.max(0, ...values.map((value) => value ?? 0));
  const step = WIDTH / Math.max(1, values.length - 1);
  const y = (value: number) => HEIGHT - 1.5 - (most > 0 ? (value / most) * (HEIGHT - 4) : 0);
  let path = "";
  let pen = false;
  values.forEach((value, i) => {
    if (value === null) {
      pen = false;
      return;
    }
    // The h draws a dot where no line follows.
    path += `${pen ? "L" : "M"}${(i * step).toFixed(1)} ${y(value).toFixed(1)}${pen ? "" : "h0"}`;
    pen = true;
  });
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path d={path} stroke={`var(--${color})`} fill="none" vector-effect="non-scaling-stroke" />
    </svg>
  );
}
