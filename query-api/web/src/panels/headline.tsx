import type { Range } from "../model/ranges";
import { sentence } from "../model/sentence";
import type { Series } from "../parts/series";
import { Excuse } from "../parts/panel";

/** The whole range in a sentence. */
export function Headline({ series, range }: { series: Series; range: Range }) {
  if (!series.loaded && series.problem) return <Excuse problem={series.problem} />;
  if (!series.loaded) return <p class="headline">&nbsp;</p>;
  const isEmpty = series.now.commands + series.now.agents === 0;
  return (
    <p class="headline">
      {sentence(series.now, series.before, range).map((piece) =>
        piece.strong ? <strong key={piece.text}>{piece.text}</strong> : piece.text,
      )}
      {isEmpty && (
        <>
          {" "}
          <a href="/api/docs">How to post events</a>
        </>
      )}
    </p>
  );
}
