-- Which numbers are NaN anywhere.
SELECT [{isnan}]::BOOLEAN[] AS nan FROM {pairs}
