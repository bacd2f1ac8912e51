import type { Range } from "../model/ranges";
import { sentence } from "../model/sentence";
import type { Series } from "../parts/series";
import { Excuse } from "../parts/panel";

/** The whole range in a sentence. */
export function Headline({ series, range }: { series: Series; range: Range }) {
  if (!series.loaded && series.problem) return <Excuse problem={series.problem} />;
  if (!series.loaded) return <p class="headline">&nbsp;</p>;
  return (
    <p class="headline">
      {sentence(series.now, series.before, range).map((piece) =>
        piece.strong ? <strong key={piece.text}>{piece.text}</strong> : piece.text,
      )}
    </p>
  );
}
